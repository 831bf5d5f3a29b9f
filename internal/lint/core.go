package lint

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"

	"golang.org/x/tools/go/types/typeutil"
)

const useTasks = "Runtime.Go or Runtime.Gather"

// concurrency is rule 1: tasks are the Runtime's, so that the simulator can run them one at a time.
func concurrency(p *pass) {
	p.inspect(func(n ast.Node) {
		switch n := n.(type) {
		case *ast.GoStmt:
			p.ban(n.Pos(), 1, "the go statement", useTasks)
		case *ast.SelectStmt:
			p.ban(n.Pos(), 1, "select", useTasks)
		case *ast.ChanType:
			p.ban(n.Pos(), 1, "a channel type", useTasks)
		case *ast.SendStmt:
			p.ban(n.Pos(), 1, "sending on a channel", useTasks)
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				p.ban(n.Pos(), 1, "receiving from a channel", useTasks)
			}
		case *ast.RangeStmt:
			if p.isChan(n.X) {
				p.ban(n.Pos(), 1, "range over a channel", useTasks)
			}
		case *ast.Ident:
			if pkg, name, ok := p.used(n); ok && pkg == "sync" && slices.Contains([]string{"WaitGroup", "Cond", "NewCond"}, name) {
				p.ban(n.Pos(), 1, "sync."+name, useTasks)
			}
		}
	})
}

// clocks says what to use in place of the functions of time and context that read or wait for the wall clock.
var clocks = map[string]string{
	"time.Now": "Runtime.Now", "time.Since": "Runtime.Now", "time.Until": "Runtime.Now",
	"time.Sleep": "Runtime.Sleep", "time.After": "Runtime.Sleep", "time.AfterFunc": "Runtime.AfterFunc",
	"time.NewTimer": "Runtime.AfterFunc", "time.NewTicker": "Runtime.AfterFunc", "time.Tick": "Runtime.AfterFunc",
	"context.WithTimeout": "Runtime.WithTimeout", "context.WithTimeoutCause": "Runtime.WithTimeout",
	"context.WithDeadline": "Runtime.WithTimeout", "context.WithDeadlineCause": "Runtime.WithTimeout",
	"context.AfterFunc": "Runtime.Go",
}

// outside says what to use in place of the packages that reach out of the process.
var outside = map[string]string{
	"crypto/rand": "Runtime.Uint64", "os": "Store", "net": "Peers", "syscall": "Store",
}

// seeded are the functions of math/rand/v2 that draw nothing from the global source.
var seeded = []string{"New", "NewPCG", "NewChaCha8", "NewZipf"}

// clockAndChance is rule 2: time and chance come from the Runtime, the world outside through the ports.
func clockAndChance(p *pass) {
	p.inspect(func(n ast.Node) {
		switch n := n.(type) {
		case *ast.ImportSpec:
			path := strings.Trim(n.Path.Value, `"`)
			root, _, _ := strings.Cut(path, "/")
			if use, ok := outside[path]; ok {
				p.ban(n.Pos(), 2, path, use)
			} else if use, ok := outside[root]; ok {
				p.ban(n.Pos(), 2, path, use)
			}
		case *ast.Ident:
			pkg, name, ok := p.used(n)
			if !ok {
				return
			}
			if use, ok := clocks[pkg+"."+name]; ok {
				p.ban(n.Pos(), 2, pkg+"."+name, use)
			}
			_, isFunc := p.TypesInfo.Uses[n].(*types.Func)
			if pkg == "math/rand" || pkg == "math/rand/v2" && isFunc && !slices.Contains(seeded, name) {
				p.ban(n.Pos(), 2, pkg+"."+name, "Runtime.Uint64")
			}
		}
	})
}

// doneChannel is the checkable part of rule 10: the core asks a context for its error and never waits for it.
func doneChannel(p *pass) {
	p.inspect(func(n ast.Node) {
		if call, ok := n.(*ast.CallExpr); ok {
			if f := typeutil.Callee(p.TypesInfo, call); f != nil && f.Name() == "Done" && f.Pkg() != nil && f.Pkg().Path() == "context" {
				p.ban(call.Pos(), 10, "Context.Done", "Context.Err")
			}
		}
	})
}

const sortKeys = "a slice, or slices.Sorted(maps.Keys(m))"

// mapOrder is rule 3: the order of a map is random, and with it everything that follows.
func mapOrder(p *pass) {
	sorted := make(map[ast.Node]bool) // maps.Keys(m) and the like as the argument of a sorting function
	p.inspect(func(n ast.Node) {
		switch n := n.(type) {
		case *ast.RangeStmt:
			if t := p.TypesInfo.TypeOf(n.X); t != nil {
				if _, ok := t.Underlying().(*types.Map); ok {
					p.ban(n.Pos(), 3, "range over a map", sortKeys)
				}
			}
		case *ast.CallExpr:
			f := typeutil.Callee(p.TypesInfo, n)
			if f == nil || f.Pkg() == nil {
				return
			}
			switch pkg, name := f.Pkg().Path(), f.Name(); {
			case pkg == "slices" && strings.HasPrefix(name, "Sorted"):
				sorted[n.Args[0]] = true
			case pkg == "maps" && slices.Contains([]string{"All", "Keys", "Values"}, name) && !sorted[n]:
				p.ban(n.Pos(), 3, "maps."+name, sortKeys)
			case pkg == "sync" && name == "Range":
				p.ban(n.Pos(), 3, "sync.Map.Range", sortKeys)
			}
		}
	})
}
