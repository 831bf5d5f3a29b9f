package lint

import (
	"go/ast"
	"slices"
	"strings"
)

// ours says which packages of this module a package, or what lies below it, may import: the arrows of docs/design.md. What is not
// listed here may not exist.
var ours = []struct {
	dir     string
	imports []string
}{
	{"ring", nil},
	{"node/store", []string{"ring", "node", "node/store"}},
	{"node", []string{"ring"}},
	{"proto", nil},
	{"rpc", []string{"ring", "node", "proto", "rpc"}},
	{"sim", []string{"ring", "node", "node/store", "proto", "sim"}},
	{"internal/cli", nil},
	{"cmd", []string{"ring", "node", "node/store", "proto", "rpc", "sim", "internal/cli", "cmd"}},
	{"internal", []string{"ring", "node", "node/store", "proto", "rpc", "sim", "internal/cli", "cmd", "internal"}},
}

// pureStd are the packages of the standard library that the ring does without, although they are harmless elsewhere: it knows no time,
// chance, locks, goroutines, I/O.
var pureStd = []string{"context", "io", "log", "math/rand", "math/rand/v2", "net", "os", "runtime", "sync", "sync/atomic", "syscall", "time"}

// imports is rule 4: imports point one way, and the core stands on the standard library alone. It also keeps logging at the rim.
func imports(p *pass) {
	for _, f := range p.files {
		for _, spec := range f.Imports {
			path := strings.Trim(spec.Path.Value, `"`)
			p.checkOurs(spec, path)
			p.checkForeign(spec, path)
			if logs(path) && !within(p.name, "rpc") && !within(p.name, "node/store") && !within(p.name, "cmd") && !within(p.name, "internal") {
				p.ban(spec.Pos(), 4, path, "Events")
			}
		}
	}
}

// checkOurs checks an import of a package of this module against the arrows.
func (p *pass) checkOurs(spec *ast.ImportSpec, path string) {
	rel, ok := strings.CutPrefix(path, p.module+"/")
	if !ok {
		return
	}
	for _, row := range ours {
		if !within(p.name, row.dir) {
			continue
		}
		// A package may be imported if its own row's folder is allowed: "node" does not open "node/store".
		if !slices.Contains(row.imports, folder(rel)) {
			p.ban(spec.Pos(), 4, rel, "what stands left of it in ring <- node <- {rpc, sim} <- cmd")
		}
		return
	}
	p.report(spec.Pos(), "%s has no place among the packages of docs/design.md (rule 4)", p.name)
}

// folder returns the first folder of the table that holds a package.
func folder(pkg string) string {
	for _, row := range ours {
		if within(pkg, row.dir) {
			return row.dir
		}
	}
	return pkg
}

// checkForeign checks an import from elsewhere: the core has none, and the ring not even all of the standard library.
func (p *pass) checkForeign(spec *ast.ImportSpec, path string) {
	if !core(p.name) || strings.HasPrefix(path, p.module+"/") {
		return
	}
	if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") {
		p.ban(spec.Pos(), 4, path, "the standard library")
	} else if p.name == "ring" && slices.ContainsFunc(pureStd, func(dir string) bool { return within(path, dir) }) {
		p.ban(spec.Pos(), 4, path, "an argument that the caller passes")
	}
}

// logs reports whether a package writes logs.
func logs(path string) bool {
	return within(path, "log") || within(path, "github.com/rs/zerolog")
}
