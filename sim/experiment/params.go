package experiment

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Param is one thing that can be set in an experiment.
type Param struct {
	Name string // lower-case words with dashes
	Doc  string // what it is, with its unit

	// Full and Quick are its values in full size and in the size for tests, of one type: int, float64, time.Duration, string, or
	// a slice of these, over which the experiment runs.
	Full, Quick any
}

// Params are the settings of one run. The zero Params has none; Experiment.Defaults makes one.
type Params struct {
	Seed    uint64 // the root of all chance; runs with seeds of their own take Seed, Seed+1, ...
	Quick   bool   // the small size; the values say the same, this is for the report
	Workers int    // points that may run at once; results do not depend on it

	declared []Param
	values   []any // one for each declared
	store    *pointStore
}

// Setting is the value of a parameter as text, as With reads it.
type Setting struct {
	Name, Value, Doc string
}

// Settings returns all values in the order in which they are declared.
func (p Params) Settings() []Setting {
	out := make([]Setting, len(p.declared))
	for i, d := range p.declared {
		out[i] = Setting{d.Name, formatValue(p.values[i]), d.Doc}
	}
	return out
}

// With returns the parameters with one of them changed. The text is a number, a duration such as 30s, or words, with commas between
// the elements of a list.
func (p Params) With(name, text string) (Params, error) {
	i := p.index(name)
	if i < 0 {
		return p, fmt.Errorf("no parameter %q: it has %s", name, strings.Join(p.names(), ", "))
	}
	v, err := parseValue(p.values[i], text)
	if err != nil {
		return p, fmt.Errorf("parameter %s: %w", name, err)
	}
	p.values = slices.Clone(p.values)
	p.values[i] = v
	return p, nil
}

// Int returns a parameter that is declared as an int. It panics if there is none, like all of its kind.
func (p Params) Int(name string) int { return paramValue[int](p, name) }

// Ints returns a parameter that is declared as an []int.
func (p Params) Ints(name string) []int { return paramValue[[]int](p, name) }

// Float returns a parameter that is declared as a float64.
func (p Params) Float(name string) float64 { return paramValue[float64](p, name) }

// Floats returns a parameter that is declared as a []float64.
func (p Params) Floats(name string) []float64 { return paramValue[[]float64](p, name) }

// Duration returns a parameter that is declared as a time.Duration.
func (p Params) Duration(name string) time.Duration { return paramValue[time.Duration](p, name) }

// Durations returns a parameter that is declared as a []time.Duration.
func (p Params) Durations(name string) []time.Duration { return paramValue[[]time.Duration](p, name) }

// Text returns a parameter that is declared as a string.
func (p Params) Text(name string) string { return paramValue[string](p, name) }

// Texts returns a parameter that is declared as a []string.
func (p Params) Texts(name string) []string { return paramValue[[]string](p, name) }

func paramValue[T any](p Params, name string) T {
	i := p.index(name)
	if i < 0 {
		panic(fmt.Sprintf("experiment: no parameter %q", name))
	}
	v, ok := p.values[i].(T)
	if !ok {
		panic(fmt.Sprintf("experiment: parameter %q is a %T", name, p.values[i]))
	}
	return v
}

func (p Params) index(name string) int {
	return slices.IndexFunc(p.declared, func(d Param) bool { return d.Name == name })
}

func (p Params) names() []string {
	names := make([]string, len(p.declared))
	for i, d := range p.declared {
		names[i] = d.Name
	}
	return names
}

func checkKind(name string, v any) {
	switch v.(type) {
	case int, float64, time.Duration, string, []int, []float64, []time.Duration, []string:
	default:
		panic(fmt.Sprintf("experiment: parameter %q is a %T", name, v))
	}
}

func formatValue(v any) string {
	rv := reflect.ValueOf(v)
	if rv.Kind() != reflect.Slice {
		return fmt.Sprint(v)
	}
	parts := make([]string, rv.Len())
	for i := range parts {
		parts[i] = fmt.Sprint(rv.Index(i).Interface())
	}
	return strings.Join(parts, ",")
}

// parseValue reads text as a value of the type of like.
func parseValue(like any, text string) (any, error) {
	switch like.(type) {
	case int:
		return parseInt(text)
	case float64:
		return parseFloat(text)
	case time.Duration:
		return time.ParseDuration(text)
	case string:
		return text, nil
	case []int:
		return parseList(text, parseInt)
	case []float64:
		return parseList(text, parseFloat)
	case []time.Duration:
		return parseList(text, time.ParseDuration)
	}
	return parseList(text, func(s string) (string, error) { return s, nil })
}

func parseList[T any](text string, parse func(string) (T, error)) ([]T, error) {
	var list []T
	for part := range strings.SplitSeq(text, ",") {
		v, err := parse(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

func parseInt(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number", s)
	}
	return n, nil
}

func parseFloat(s string) (float64, error) {
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || x != x {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	return x, nil
}
