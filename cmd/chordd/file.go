package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// fileEntry is one setting in a configuration file and where its value stands.
type fileEntry struct {
	name         string
	values       []string
	line, column int
}

// fileProblem is something wrong in a configuration file.
type fileProblem struct {
	line, column int
	message      string
}

func problemAt(t *token.Token, format string, args ...any) fileProblem {
	return fileProblem{t.Position.Line, t.Position.Column, fmt.Sprintf(format, args...)}
}

// in formats the problem as compilers do, with an excerpt of the text.
func (p fileProblem) in(path string, text []byte) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: %s", path, p.line, p.column, p.message)
	lines := bytes.Split(text, []byte("\n"))
	for n := max(1, p.line-2); n <= min(p.line, len(lines)); n++ {
		fmt.Fprintf(&b, "\n%6d | %s", n, bytes.TrimRight(lines[n-1], "\r"))
	}
	fmt.Fprintf(&b, "\n       | %s^", strings.Repeat(" ", max(0, p.column-1)))
	return errors.New(b.String())
}

// parseFile reads a YAML mapping of setting names to scalars or lists of scalars. It returns what it understood and all that is
// wrong: syntax, unknown keys, anything nested.
func parseFile(text []byte, known []string) (entries []fileEntry, problems []fileProblem) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		var at yaml.Error
		if errors.As(err, &at) && at.GetToken() != nil {
			return nil, []fileProblem{problemAt(at.GetToken(), "%s", at.GetMessage())}
		}
		return nil, []fileProblem{{1, 1, err.Error()}}
	}
	var bodies []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.CommentType && doc.Body.Type() != ast.NullType {
			bodies = append(bodies, doc.Body)
		}
	}
	if len(bodies) == 0 {
		return nil, nil // an empty file sets nothing
	}
	if len(bodies) > 1 {
		return nil, []fileProblem{problemAt(bodies[1].GetToken(), "a second document, want one")}
	}
	mapping, ok := bodies[0].(ast.MapNode)
	if !ok {
		return nil, []fileProblem{problemAt(bodies[0].GetToken(), "want settings, one a line, for example: replicas: 3")}
	}
	names := map[string]bool{}
	for _, n := range known {
		names[n] = true
	}
	for it := mapping.MapRange(); it.Next(); {
		key := it.Key().GetToken()
		if !names[key.Value] {
			problems = append(problems, problemAt(key, "unknown key %q%s", key.Value, didYouMean(key.Value, known)))
			continue
		}
		values, err := scalars(it.Value())
		if err != nil {
			problems = append(problems, problemAt(key, "%s: %v", key.Value, err))
			continue
		}
		at := it.Value().GetToken().Position
		entries = append(entries, fileEntry{name: key.Value, values: values, line: at.Line, column: at.Column})
	}
	return entries, problems
}

// scalars returns the texts of a scalar or of a list of scalars.
func scalars(n ast.Node) ([]string, error) {
	if list, ok := n.(*ast.SequenceNode); ok {
		values := []string{} // none is a value too: an empty list
		for _, item := range list.Values {
			v, err := scalar(item)
			if err != nil {
				return nil, err
			}
			values = append(values, v)
		}
		return values, nil
	}
	v, err := scalar(n)
	return []string{v}, err
}

func scalar(n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, nil
	case *ast.NullNode:
		return "", errors.New("no value")
	}
	return "", fmt.Errorf("want a plain value, not a %s", n.Type().YAMLName())
}
