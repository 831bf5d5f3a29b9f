package lint

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

// Finding is one broken rule.
type Finding struct {
	File string // relative to the root of the module, with slashes
	Line int    // 0 if the finding is about the whole file
	Text string
}

// String returns "file:line: text".
func (f Finding) String() string { return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Text) }

// rule is a check of one package.
type rule struct {
	in    func(pkg string) bool // by the package's path below the module's
	check func(*pass)
}

// rules are all checks that need syntax and types. What needs only text is in text.go.
var rules = []rule{
	{core, concurrency},          // 1
	{core, clockAndChance},       // 2
	{deterministic, mapOrder},    // 3
	{anywhere, imports},          // 4
	{only("node"), locks},        // 5
	{only("node"), boundedLoops}, // 6
	{core, doneChannel},          // 10
	{library, printing},
	{library, documentation},
}

// core is what runs under virtual time: the ring and the node, without the stores, which run inside one call.
func core(pkg string) bool { return pkg == "ring" || pkg == "node" }

// deterministic is what must do the same for the same seed.
func deterministic(pkg string) bool { return core(pkg) || within(pkg, "sim") }

// library is what other programs embed.
func library(pkg string) bool {
	return core(pkg) || within(pkg, "node") || within(pkg, "rpc") || within(pkg, "sim")
}

func anywhere(string) bool { return true }

func only(name string) func(string) bool { return func(pkg string) bool { return pkg == name } }

// within reports whether pkg is dir or lies below it.
func within(pkg, dir string) bool { return pkg == dir || strings.HasPrefix(pkg, dir+"/") }

// pass is one rule at work on one package.
type pass struct {
	*packages.Package
	name   string      // the package's path below the module's
	module string      // the module's path
	files  []*ast.File // without the one impure file and what is generated
	report func(pos token.Pos, format string, args ...any)
}

// ban reports that what is banned in this package and what to use in its place.
func (p *pass) ban(pos token.Pos, rule int, what, use string) {
	p.report(pos, "%s is banned in %s, use %s (rule %d)", what, p.name, use, rule)
}

// inspect visits every syntax node of the package.
func (p *pass) inspect(visit func(ast.Node)) {
	for _, f := range p.files {
		ast.Inspect(f, func(n ast.Node) bool {
			if n != nil {
				visit(n)
			}
			return true
		})
	}
}

// used returns the package path and name of the package-level object that an identifier stands for.
func (p *pass) used(id *ast.Ident) (pkg, name string, ok bool) {
	obj := p.TypesInfo.Uses[id]
	if obj == nil || obj.Pkg() == nil || obj.Parent() != obj.Pkg().Scope() {
		return "", "", false
	}
	return obj.Pkg().Path(), obj.Name(), true
}

// impure is the file that is outside the rules: the Runtime on goroutines and the wall clock.
const impure = "node/live.go"

// Check applies all rules to the module in dir, also to what only the build tag "invariants" includes, and returns what it found,
// sorted and without repetitions. Test files are read only as text.
func Check(dir string) ([]Finding, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	findings, err := checkText(dir)
	if err != nil {
		return nil, err
	}
	for _, tags := range []string{"", "invariants"} {
		typed, err := checkTyped(dir, tags)
		if err != nil {
			return nil, err
		}
		findings = append(findings, typed...)
	}
	slices.SortFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Text, b.Text))
	})
	return slices.Compact(findings), nil
}

// checkTyped type-checks the packages of the module as built with the given tags and applies the rules to them.
func checkTyped(dir, tags string) ([]Finding, error) {
	fset := token.NewFileSet()
	pkgs, err := packages.Load(&packages.Config{
		Mode:       packages.LoadSyntax | packages.NeedModule,
		Dir:        dir,
		Fset:       fset,
		BuildFlags: []string{"-tags=" + tags},
	}, "./...")
	if err != nil {
		return nil, fmt.Errorf("load the packages of %s: %w", dir, err)
	}
	var findings []Finding
	for _, pkg := range pkgs {
		if len(pkg.Errors) > 0 {
			findings = append(findings, Finding{pkg.PkgPath, 0, fmt.Sprintf("cannot be checked: %v", pkg.Errors[0])})
			continue
		}
		p := &pass{Package: pkg, module: pkg.Module.Path, name: strings.TrimPrefix(strings.TrimPrefix(pkg.PkgPath, pkg.Module.Path), "/")}
		p.report = func(pos token.Pos, format string, args ...any) {
			at := fset.Position(pos)
			findings = append(findings, Finding{relative(dir, at.Filename), at.Line, fmt.Sprintf(format, args...)})
		}
		for _, f := range pkg.Syntax {
			if !ast.IsGenerated(f) && relative(dir, fset.Position(f.Package).Filename) != impure {
				p.files = append(p.files, f)
			}
		}
		for _, r := range rules {
			if r.in(p.name) {
				r.check(p)
			}
		}
	}
	return findings, nil
}

// relative returns a file's path below dir, with slashes.
func relative(dir, file string) string {
	rel, err := filepath.Rel(dir, file)
	if err != nil {
		return file
	}
	return filepath.ToSlash(rel)
}

// isChan reports whether an expression is a channel.
func (p *pass) isChan(e ast.Expr) bool {
	t := p.TypesInfo.TypeOf(e)
	if t == nil {
		return false
	}
	_, ok := t.Underlying().(*types.Chan)
	return ok
}
