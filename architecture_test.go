package tightrope

import (
	"go/ast"
	"os"
	"regexp"
	"testing"
)

// named is a function or a type that docs/architecture.md names, with its file.
var named = regexp.MustCompile("(?m)^\\| `([A-Za-z.]+)` \\| `([a-z_/]+\\.go)` \\|")

// The page that tells how a run goes through the code names what is there, where it is.
func TestTheArchitecturePageNamesWhatThereIs(t *testing.T) {
	page, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string]bool{}
	for _, s := range sources(t) {
		for _, d := range s.ast.Decls {
			for _, name := range declares(d) {
				declared[s.file+" "+name] = true
			}
		}
	}
	rows := named.FindAllStringSubmatch(string(page), -1)
	if len(rows) < 20 {
		t.Fatalf("the page names %d functions: the pattern reads another page", len(rows))
	}
	for _, row := range rows {
		if !declared[row[2]+" "+row[1]] {
			t.Errorf("docs/architecture.md names %s in %s, and it is not there", row[1], row[2])
		}
	}
}

// declares lists the names of a declaration, methods with those of their types too.
func declares(d ast.Decl) []string {
	var names []string
	switch d := d.(type) {
	case *ast.FuncDecl:
		names = append(names, d.Name.Name)
		if d.Recv != nil {
			names = append(names, receiver(d.Recv.List[0].Type)+"."+d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			if s, ok := spec.(*ast.TypeSpec); ok {
				names = append(names, s.Name.Name)
			}
		}
	}
	return names
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}
