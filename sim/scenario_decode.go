package sim

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Problem is something wrong with a scenario.
type Problem struct {
	Path    string // of the field, for example churn[0].on.mean; empty: the whole
	Message string
	Line    int // in the file, from 1 on; 0 if the scenario does not come from a file
	Column  int
}

// ScenarioError is everything that is wrong with a scenario.
type ScenarioError struct {
	File     string // empty if the scenario does not come from a file
	Problems []Problem
	text     []byte
}

// Error shows each problem as compilers do: file:line:column, what, and an excerpt of the text.
func (e *ScenarioError) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		message := p.Message
		if p.Path != "" {
			message = p.Path + ": " + message
		}
		if p.Line == 0 {
			if e.File != "" {
				message = e.File + ": " + message
			}
			b.WriteString(message)
			continue
		}
		fmt.Fprintf(&b, "%s:%d:%d: %s", e.File, p.Line, p.Column, message)
		lines := bytes.Split(e.text, []byte("\n"))
		for n := max(1, p.Line-2); n <= min(p.Line, len(lines)); n++ {
			fmt.Fprintf(&b, "\n%6d | %s", n, bytes.TrimRight(lines[n-1], "\r"))
		}
		fmt.Fprintf(&b, "\n       | %s^", strings.Repeat(" ", max(0, p.Column-1)))
	}
	return b.String()
}

// position is a place in a file.
type position struct{ line, column int }

func positionOf(t *token.Token) position {
	if t == nil || t.Position == nil {
		return position{1, 1}
	}
	return position{t.Position.Line, t.Position.Column}
}

// decoder fills a value from YAML strictly: what it does not know is a problem, and it goes on to find them all.
type decoder struct {
	positions map[string]position // of every field that the text gives, by path
	problems  []Problem
}

func (d *decoder) problem(path string, at *token.Token, format string, args ...any) {
	p := positionOf(at)
	d.problems = append(d.problems, Problem{path, fmt.Sprintf(format, args...), p.line, p.column})
}

// decodeYAML fills the struct that v points to, whose fields have their defaults.
func decodeYAML(text []byte, v any) *decoder {
	d := &decoder{positions: map[string]position{}}
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		var at yaml.Error
		if errors.As(err, &at) && at.GetToken() != nil {
			d.problem("", at.GetToken(), "%s", at.GetMessage())
		} else {
			d.problem("", nil, "%v", err)
		}
		return d
	}
	var bodies []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.CommentType && doc.Body.Type() != ast.NullType {
			bodies = append(bodies, doc.Body)
		}
	}
	if len(bodies) > 1 {
		d.problem("", bodies[1].GetToken(), "a second document, want one")
	} else if len(bodies) == 1 {
		d.decode(bodies[0], reflect.ValueOf(v).Elem(), "")
	}
	return d
}

func (d *decoder) decode(n ast.Node, v reflect.Value, path string) {
	if path != "" {
		p := positionOf(n.GetToken())
		d.positions[path] = p
	}
	switch {
	case v.Kind() == reflect.Struct:
		d.decodeStruct(n, v, path)
	case v.Kind() == reflect.Slice:
		list, ok := n.(*ast.SequenceNode)
		if !ok {
			d.problem(path, n.GetToken(), "want a list")
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), len(list.Values), len(list.Values)))
		for i, item := range list.Values {
			d.decode(item, v.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
	default:
		text, ok := scalarText(n)
		if !ok {
			d.problem(path, n.GetToken(), "want %s", wanted(v.Type()))
			return
		}
		if err := setScalar(v, text); err != nil {
			d.problem(path, n.GetToken(), "%v", err)
		}
	}
}

func (d *decoder) decodeStruct(n ast.Node, v reflect.Value, path string) {
	mapping, ok := n.(ast.MapNode)
	if !ok {
		d.problem(path, n.GetToken(), "want settings, for example %s", example(v.Type()))
		return
	}
	for it := mapping.MapRange(); it.Next(); {
		key := it.Key().GetToken()
		field, ok := fieldByName(v, key.Value)
		if !ok {
			d.problem(path, key, "unknown field %q, want one of: %s", key.Value, strings.Join(fieldNames(v.Type()), ", "))
			continue
		}
		if it.Value().Type() == ast.NullType {
			d.problem(join(path, key.Value), key, "no value")
			continue
		}
		d.decode(it.Value(), field, join(path, key.Value))
	}
}

// scalarText returns the text of a plain value.
func scalarText(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NanNode, *ast.InfinityNode:
		return n.GetToken().Value, true
	}
	return "", false
}

var durationType = reflect.TypeFor[time.Duration]()

// setScalar parses text into v.
func setScalar(v reflect.Value, text string) error {
	bad := fmt.Errorf("%q, want %s", text, wanted(v.Type()))
	if v.Type() == durationType {
		x, err := time.ParseDuration(text)
		if err != nil {
			return bad
		}
		v.SetInt(int64(x))
		return nil
	}
	digits := strings.ReplaceAll(text, "_", "")
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		x, err := strconv.ParseBool(text)
		if err != nil {
			return bad
		}
		v.SetBool(x)
	case reflect.Int:
		x, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			return bad
		}
		v.SetInt(x)
	case reflect.Uint64:
		x, err := strconv.ParseUint(digits, 0, 64)
		if err != nil {
			return bad
		}
		v.SetUint(x)
	case reflect.Float64:
		x, err := strconv.ParseFloat(digits, 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return bad
		}
		v.SetFloat(x)
	default:
		panic("sim: a scenario has no text form for " + v.Type().String())
	}
	return nil
}

func wanted(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a duration with its unit, for example 30s or 1h30m"
	case t.Kind() == reflect.Int:
		return "a whole number"
	case t.Kind() == reflect.Uint64:
		return "a whole number, at least 0"
	case t.Kind() == reflect.Float64:
		return "a number"
	case t.Kind() == reflect.Bool:
		return "true or false"
	}
	return "a word"
}

// example shows how a field of a struct is given.
func example(t reflect.Type) string {
	name := fieldNames(t)[0]
	if t == reflect.TypeFor[LatencySpec]() {
		return "model: internet"
	}
	return name + ": ..."
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// fieldNames returns the names that the fields of a struct have in a file.
func fieldNames(t reflect.Type) []string {
	var names []string
	for f := range t.Fields() {
		names = append(names, fieldName(f))
	}
	return names
}

func fieldByName(v reflect.Value, name string) (reflect.Value, bool) {
	i := slices.Index(fieldNames(v.Type()), name)
	if i < 0 {
		return reflect.Value{}, false
	}
	return v.Field(i), true
}

// fieldName is the Go name in small letters with hyphens, unless the field has a tag.
func fieldName(f reflect.StructField) string {
	if name := f.Tag.Get("yaml"); name != "" {
		return name
	}
	var b strings.Builder
	for i, r := range f.Name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
