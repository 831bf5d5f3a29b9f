package sim

import (
	"reflect"
	"strconv"
	"time"

	"github.com/goccy/go-yaml"
)

// YAML returns the text of a file that means the scenario: the fields that differ from their defaults, and the seed.
func (s Scenario) YAML() []byte {
	items := encodeStruct(reflect.ValueOf(s), reflect.ValueOf(DefaultScenario()))
	if s.Seed == DefaultScenario().Seed {
		items = append(items, yaml.MapItem{Key: "seed", Value: s.Seed})
	}
	text, err := yaml.MarshalWithOptions(items, yaml.IndentSequence(true))
	if err != nil {
		panic("sim: a scenario of plain values cannot be encoded: " + err.Error())
	}
	return text
}

// encodeStruct returns the fields of v that differ from those of base, in order.
func encodeStruct(v, base reflect.Value) yaml.MapSlice {
	var items yaml.MapSlice
	for i := range v.NumField() {
		if reflect.DeepEqual(v.Field(i).Interface(), base.Field(i).Interface()) {
			continue
		}
		items = append(items, yaml.MapItem{Key: fieldName(v.Type().Field(i)), Value: encodeValue(v.Field(i), base.Field(i))})
	}
	return items
}

func encodeValue(v, base reflect.Value) any {
	switch {
	case v.Type() == durationType:
		return time.Duration(v.Int()).String()
	case v.Kind() == reflect.Struct:
		return encodeStruct(v, base)
	case v.Kind() == reflect.Float64:
		return number(strconv.FormatFloat(v.Float(), 'g', -1, 64))
	case v.Kind() == reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = encodeValue(v.Index(i), reflect.Zero(v.Type().Elem()))
		}
		return list
	}
	return v.Interface()
}

// number is a number in the text that stands for it exactly.
type number string

// MarshalYAML writes the digits without quotes.
func (n number) MarshalYAML() ([]byte, error) { return []byte(n), nil }
