package tightrope

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// writing are the methods by which the clients of Kubernetes write.
var writing = []string{"Create", "Update", "UpdateStatus", "Patch", "Apply", "ApplyStatus", "Delete", "DeleteAllOf", "DeleteCollection"}

// throughWriter are the folders whose every write goes through rollout/writer, so
// that a fence, a budget or another identity has one place to be.
var throughWriter = []string{"rollout/operator", "probes/pods", "probes/enforcing"}

func TestOnlyTheWriterWrites(t *testing.T) {
	through := 0
	for _, s := range sources(t) {
		if !slices.Contains(throughWriter, s.folder) || strings.HasSuffix(s.file, "_test.go") {
			continue
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			method, ok := call.Fun.(*ast.SelectorExpr)
			switch {
			case !ok || !slices.Contains(writing, method.Sel.Name):
			case isWriter(method.X):
				through++
			default:
				t.Errorf("%s: %s is called on something that is not a Writer: write through rollout/writer", s.fset.Position(call.Pos()), method.Sel.Name)
			}
			return true
		})
	}
	if through < 15 {
		t.Errorf("only %d writes found: the test looks in the wrong place", through)
	}
}

// isWriter reports whether an expression is called what Writers are called.
func isWriter(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name == "write"
	case *ast.SelectorExpr:
		return x.Sel.Name == "Write" || x.Sel.Name == "write"
	}
	return false
}
