package lint

import (
	"bufio"
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// leftover matches the marks of unfinished work. Written in two halves, so that it does not match itself.
var leftover = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)

// textual are the endings of the files that people write.
var textual = []string{".go", ".md", ".proto", ".sh", ".yaml", ".yml"}

// checkText reads the files of the module as text: no mark of unfinished work anywhere, and a doc.go in every package. Walking the
// tree also tells `go test` what to watch: its cached result ends when a file comes, goes or changes.
func checkText(dir string) ([]Finding, error) {
	var findings []Finding
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := relative(dir, path)
		if d.IsDir() {
			if path != dir && skipped(d.Name()) {
				return fs.SkipDir
			}
			found, err := packageDoc(path, rel)
			findings = append(findings, found...)
			return err
		}
		if !slices.Contains(textual, filepath.Ext(path)) {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		lines := bufio.NewScanner(bytes.NewReader(text))
		lines.Buffer(nil, len(text)+1)
		for n := 1; lines.Scan(); n++ {
			if mark := leftover.FindString(lines.Text()); mark != "" {
				findings = append(findings, Finding{rel, n, fmt.Sprintf("%s is banned, use an issue, or do it now", mark)})
			}
		}
		return lines.Err()
	})
	return findings, err
}

// skipped reports whether a folder holds nothing of ours: hidden, input of tests, or made by running the programs.
func skipped(name string) bool {
	return strings.HasPrefix(name, ".") && name != ".ci" || name == "testdata" || name == "bin" || name == "chord-data"
}

// packageDoc reports a folder with Go files that has no doc.go.
func packageDoc(path, rel string) ([]Finding, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		name := e.Name()
		if name == "doc.go" {
			return nil, nil
		}
		if strings.HasSuffix(name, ".go") {
			files = append(files, name)
		}
	}
	if len(files) == 0 {
		return nil, nil
	}
	return []Finding{{rel + "/" + files[0], 0, "a package without doc.go is banned, use doc.go for what the package is and knows nothing of"}}, nil
}

// printing keeps libraries silent: what they have to say is returned, or told through Events.
func printing(p *pass) {
	p.inspect(func(n ast.Node) {
		id, ok := n.(*ast.Ident)
		if !ok {
			return
		}
		switch pkg, name, _ := p.used(id); {
		case pkg == "fmt" && strings.HasPrefix(name, "Print"), pkg == "os" && (name == "Stdout" || name == "Stderr"):
			p.report(id.Pos(), "%s.%s is banned in %s, use an error, Events or an io.Writer that the caller passes", pkg, name, p.name)
		}
		if b, ok := p.TypesInfo.Uses[id].(*types.Builtin); ok && strings.HasPrefix(b.Name(), "print") {
			p.report(id.Pos(), "%s is banned in %s, use an error, Events or an io.Writer that the caller passes", b.Name(), p.name)
		}
	})
}

// selfEvident are the methods whose meaning is that of the interface of the same name.
var selfEvident = []string{"Error", "Is", "String", "Unwrap"}

// documentation wants a comment on every exported name of a library. That it begins with the name is checked by staticcheck (ST1020 to ST1022).
func documentation(p *pass) {
	missing := func(pos token.Pos, name string) {
		p.report(pos, "exported %s without a comment is banned in %s, use one that says shapes, units, errors", name, p.name)
	}
	for _, f := range p.files {
		for _, decl := range f.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Doc == nil && d.Name.IsExported() && exportedReceiver(d) && !(d.Recv != nil && slices.Contains(selfEvident, d.Name.Name)) {
					missing(d.Pos(), d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					for _, name := range undocumented(d, spec) {
						missing(spec.Pos(), name)
					}
				}
			}
		}
	}
}

// undocumented returns the exported names of a type, const or var specification that neither it nor its group has a comment for.
func undocumented(d *ast.GenDecl, spec ast.Spec) []string {
	var names []*ast.Ident
	documented := d.Doc != nil
	switch s := spec.(type) {
	case *ast.TypeSpec:
		names, documented = []*ast.Ident{s.Name}, s.Doc != nil || d.Doc != nil && !d.Lparen.IsValid()
	case *ast.ValueSpec:
		names, documented = s.Names, documented || s.Doc != nil || s.Comment != nil
	}
	var missing []string
	for _, name := range names {
		if !documented && name.IsExported() {
			missing = append(missing, name.Name)
		}
	}
	return missing
}

// exportedReceiver reports whether a function is no method, or one of an exported type.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}
