package readme

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	promise   = regexp.MustCompile(`(?m)^\d+\. \*\*`)
	namedTest = regexp.MustCompile("`([a-z0-9/]+)\\.(Test[A-Za-z0-9]+)`")
)

// TestGuaranteesAreTested: every promise names a test, and every test that is named exists.
func TestGuaranteesAreTested(t *testing.T) {
	text := readText(t, filepath.Join(root, "docs", "guarantees.md"))
	starts := promise.FindAllStringIndex(text, -1)
	if len(starts) == 0 {
		t.Fatal("no promises found")
	}
	for i, start := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		if section := text[start[0]:end]; !namedTest.MatchString(section) {
			t.Errorf("no test is named for: %.60s", section)
		}
	}
	tests := make(map[string]map[string]bool) // by package
	for _, m := range namedTest.FindAllStringSubmatch(text, -1) {
		pkg, name := m[1], m[2]
		if tests[pkg] == nil {
			tests[pkg] = testsOf(t, pkg)
		}
		if !tests[pkg][name] {
			t.Errorf("docs/guarantees.md names %s.%s, which does not exist", pkg, name)
		}
	}
}

// testsOf returns the names of the tests of a package, by its path below root.
func testsOf(t *testing.T, pkg string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
				names[fn.Name.Name] = true
			}
		}
	}
	return names
}
