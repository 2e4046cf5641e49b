package tightrope

import (
	"go/ast"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// named is a function or a type that docs/architecture.md names, with its file, and how
// the row goes on.
var named = regexp.MustCompile("(?m)^\\| `([A-Za-z.]+)` \\| `([a-z_/]+\\.go)` \\| (.*) \\|$")

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

// callsOf says what each function calls, by the last name of what it calls. A function is
// found by folder and name, a method by its type and name, and both by "." and name.
func callsOf(all []source) map[string]map[string]bool {
	calls := map[string]map[string]bool{}
	for _, s := range all {
		for _, d := range s.ast.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || strings.HasSuffix(s.file, "_test.go") {
				continue
			}
			for _, name := range append(declares(d), "."+f.Name.Name) {
				key := s.folder + " " + name
				if calls[key] == nil {
					calls[key] = map[string]bool{}
				}
				addCalls(f, calls[key])
			}
		}
	}
	return calls
}

func addCalls(f *ast.FuncDecl, to map[string]bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			switch callee := call.Fun.(type) {
			case *ast.Ident:
				to[callee.Name] = true
			case *ast.SelectorExpr:
				to[callee.Sel.Name] = true
			}
		}
		return true
	})
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

// A reader of the page goes forward only: every function of a table is called by one
// further up, directly or by way of one function of that one's package. The rows that
// begin with an arrow say what else leads to them.
func TestTheArchitecturePageGoesForwardOnly(t *testing.T) {
	page, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	calls := callsOf(sources(t))
	checked := 0
	for _, table := range strings.Split(string(page), "\n## ") {
		reached := map[string]bool{}
		for _, row := range named.FindAllStringSubmatch(table, -1) {
			name, file := row[1], row[2]
			if short := name[strings.LastIndex(name, ".")+1:]; !strings.HasPrefix(row[3], "→") {
				if checked++; !reached[short] {
					t.Errorf("docs/architecture.md: no row above %s calls it", name)
				}
			}
			for callee := range calls[path.Dir(file)+" "+name] {
				reached[callee] = true
				for further := range calls[path.Dir(file)+" ."+callee] {
					reached[further] = true
				}
			}
		}
	}
	if checked < 20 {
		t.Errorf("the page has %d functions that others call: the pattern reads another page", checked)
	}
}
