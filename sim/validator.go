package sim

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// maxDuration keeps all times within the 63 bits of nanoseconds, with much room.
const maxDuration = 100 * 365 * 24 * time.Hour

// validator collects problems.
type validator struct{ problems []Problem }

func (v *validator) bad(path, format string, args ...any) {
	v.problems = append(v.problems, Problem{Path: path, Message: fmt.Sprintf(format, args...)})
}

func (v *validator) oneOf(path, value string, choices ...string) bool {
	if slices.Contains(choices, value) {
		return true
	}
	if slices.Contains(choices, "") {
		choices = slices.DeleteFunc(slices.Clone(choices), func(c string) bool { return c == "" })
	}
	v.bad(path, "%q, want one of: %s", value, strings.Join(choices, ", "))
	return false
}

func (v *validator) count(path string, value, least, most int) {
	if value < least || value > most {
		v.bad(path, "%d, want %d to %d", value, least, most)
	}
}

func (v *validator) fraction(path string, value float64) {
	if !(value >= 0 && value <= 1) {
		v.bad(path, "%v, want 0 to 1", value)
	}
}

func (v *validator) atLeastZero(path string, value float64) {
	if !(value >= 0 && value <= 1e9) {
		v.bad(path, "%v, want 0 to 1e9", value)
	}
}

func (v *validator) positive(path string, value float64) {
	if !(value > 0 && value <= 1e9) {
		v.bad(path, "%v, want more than 0, at most 1e9", value)
	}
}

// duration checks a time that may be 0 only if least is.
func (v *validator) duration(path string, value, least time.Duration) {
	if value < least || value > maxDuration {
		v.bad(path, "%v, want %v to %v", value, least, maxDuration)
	}
}

// only reports the fields of a struct that are given but mean nothing for its kind, and is how each kind documents its fields.
func (v *validator) only(path, kind string, value any, fields ...string) {
	s := reflect.ValueOf(value)
	for i, name := range fieldNames(s.Type()) {
		if !s.Field(i).IsZero() && !slices.Contains(fields, name) {
			v.bad(join(path, name), "means nothing for %s, which has: %s", kind, strings.Join(fields, ", "))
		}
	}
}
