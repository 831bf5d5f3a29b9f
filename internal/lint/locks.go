package lint

import (
	"go/ast"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/types/typeutil"
)

// lockFile is the file of package node that takes the node's mutex. It may have others beside it, for other mutexes, whose names begin with lockPart.
const (
	lockFile = "state.go"
	lockPart = "state_"
)

// locks is rule 5: mutexes are taken only in the small methods of these files, and nothing that can wait is called from there, neither
// directly nor through other functions of the package.
func locks(p *pass) {
	ports := p.reach("Peers", "Runtime", "Store")
	for _, f := range p.files {
		file := filepath.Base(p.Fset.Position(f.Package).Filename)
		inLockFile := file == lockFile || strings.HasPrefix(file, lockPart)
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			callee, ok := typeutil.Callee(p.TypesInfo, call).(*types.Func)
			if !ok {
				return true
			}
			if !inLockFile && isLock(callee) {
				p.ban(call.Pos(), 5, "taking a mutex outside "+lockFile, "a small method of "+p.name+"/"+lockFile)
			}
			if inLockFile {
				if port, ok := ports(callee.Origin()); ok {
					p.ban(call.Pos(), 5, "a call of "+port+" in "+file, "the caller, before or after the lock")
				}
			}
			return true
		})
	}
}

// isLock reports whether f takes a lock of package sync.
func isLock(f *types.Func) bool {
	return f.Pkg() != nil && f.Pkg().Path() == "sync" && slices.Contains([]string{"Lock", "RLock", "TryLock", "TryRLock"}, f.Name())
}

// boundMark begins the comment that says what ends a loop, where its head does not.
const boundMark = "Bound: "

// boundedLoops is rule 6: a loop that calls a peer ends by itself. Its head shows that, by a range over anything but a function of
// unknown length or by a condition that compares integers, or a comment "Bound: ..." above it or behind its head says it. That the bound comes
// from Config is for the reader to check.
func boundedLoops(p *pass) {
	peers := p.reach("Peers")
	stated := p.linesWith(boundMark)
	p.inspect(func(n ast.Node) {
		var body *ast.BlockStmt
		switch n := n.(type) {
		case *ast.ForStmt:
			if !p.compares(n.Cond) {
				body = n.Body
			}
		case *ast.RangeStmt:
			if p.isEndless(n.X) {
				body = n.Body
			}
		}
		if body == nil {
			return
		}
		at := p.Fset.Position(n.Pos())
		if stated[position{at.Filename, at.Line}] || stated[position{at.Filename, at.Line - 1}] {
			return
		}
		if port, ok := p.firstCall(body, peers); ok {
			p.ban(n.Pos(), 6, "an unbounded loop around "+port,
				"a loop that counts up to a field of Config, or a comment `"+boundMark+"...` that says what ends it")
		}
	})
}

// firstCall returns the first call in a block that leads to a port.
func (p *pass) firstCall(body *ast.BlockStmt, ports func(*types.Func) (string, bool)) (port string, found bool) {
	ast.Inspect(body, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && !found {
			if callee, ok := typeutil.Callee(p.TypesInfo, call).(*types.Func); ok {
				port, found = ports(callee.Origin())
			}
		}
		return !found
	})
	return port, found
}

// isEndless reports whether a range is over a function that need not end. Those of package slices do.
func (p *pass) isEndless(e ast.Expr) bool {
	if _, ok := p.TypesInfo.TypeOf(e).Underlying().(*types.Signature); !ok {
		return false
	}
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return true
	}
	callee := typeutil.Callee(p.TypesInfo, call)
	return callee == nil || callee.Pkg() == nil || callee.Pkg().Path() != "slices"
}

// position is a line of a file.
type position struct {
	file string
	line int
}

// linesWith returns the lines where a comment ends that has a line with the given mark at its beginning.
func (p *pass) linesWith(mark string) map[position]bool {
	lines := make(map[position]bool)
	for _, f := range p.files {
		for _, group := range f.Comments {
			if slices.ContainsFunc(group.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "// "+mark) }) {
				at := p.Fset.Position(group.End())
				lines[position{at.Filename, at.Line}] = true
			}
		}
	}
	return lines
}

// compares reports whether a loop's condition has a comparison of integers in it.
func (p *pass) compares(cond ast.Expr) (found bool) {
	if cond == nil {
		return false
	}
	ast.Inspect(cond, func(n ast.Node) bool {
		if b, ok := n.(*ast.BinaryExpr); ok && slices.Contains([]token.Token{token.LSS, token.LEQ, token.GTR, token.GEQ, token.NEQ}, b.Op) {
			if t, ok := p.TypesInfo.TypeOf(b.X).Underlying().(*types.Basic); ok && t.Info()&types.IsInteger != 0 {
				found = true
			}
		}
		return !found
	})
	return found
}

// reach returns a function that tells whether a function is, or leads through calls inside the package to, a method of one of the named
// interfaces of this package, and says which.
func (p *pass) reach(interfaces ...string) func(*types.Func) (string, bool) {
	port := func(f *types.Func) (string, bool) {
		recv := f.Signature().Recv()
		if recv == nil {
			return "", false
		}
		named, ok := types.Unalias(recv.Type()).(*types.Named)
		if !ok || named.Obj().Pkg() != p.Types || !slices.Contains(interfaces, named.Obj().Name()) {
			return "", false
		}
		return named.Obj().Name() + "." + f.Name(), true
	}
	edges := p.calls()
	via := make(map[*types.Func]string) // the port's method that a function of this package leads to
	leads := func(f *types.Func) (string, bool) {
		if name, ok := port(f); ok {
			return name, true
		}
		name, ok := via[f]
		return name, ok
	}
	for again := true; again; {
		again = false
		for _, e := range edges {
			if name, ok := leads(e.to); ok && via[e.from] == "" {
				via[e.from] = name
				again = true
			}
		}
	}
	return func(f *types.Func) (string, bool) {
		name, ok := leads(f)
		if _, direct := port(f); ok && !direct {
			name += " (through " + f.Name() + ")"
		}
		return name, ok
	}
}

// edge is a call by name from one function of the package to another function.
type edge struct{ from, to *types.Func }

// calls returns the calls in the package in the order of the source; those in function literals count for the function around them.
func (p *pass) calls() []edge {
	var edges []edge
	for _, f := range p.files {
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			from := p.TypesInfo.Defs[fn.Name].(*types.Func)
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					if to, ok := typeutil.Callee(p.TypesInfo, call).(*types.Func); ok {
						edges = append(edges, edge{from, to.Origin()})
					}
				}
				return true
			})
		}
	}
	return edges
}
