package vmctl_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/hoster-ha/hoster-ha/vmctl"
	"github.com/hoster-ha/hoster-ha/vmctl/command"
)

const (
	module    = "github.com/hoster-ha/hoster-ha"
	vmctlPath = module + "/vmctl"
)

// TestOnlyTheGateStarts proves that nothing but the gate can start a VM or
// touch its disk, by what the compiler and these rules leave possible.
//
// The compiler: other packages cannot fill a Permit in or convert to one, since
// its fields are vmctl's own; they can only make the zero Permit, which drivers
// refuse. So whoever starts a VM holds a Permit that the gate made.
//
// The rules, for all files of the module that are no tests:
//   - within vmctl, a Permit is made in gate.go alone, its fields are never set
//     otherwise, and driver.Start and provider.Prepare are called there alone;
//   - elsewhere the type is named only as a parameter of methods Start and
//     Prepare, which drivers and providers have;
//   - such a method calls Check on its permit, and does nothing with it but call
//     Check, VM and Generation: it cannot keep it, hand it on, or use it twice;
//   - what could get around the compiler (unsafe, go:linkname, a dot import) is
//     not used in files that import vmctl, or that are part of it;
//   - under vmctl, only vmctl/run runs commands.
func TestOnlyTheGateStarts(t *testing.T) {
	files, err := sources(moduleRoot(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := files["vmctl/gate.go"]; !ok {
		t.Fatalf("the gate is not among the %d files", len(files))
	}
	for _, o := range offences(files) {
		t.Error(o)
	}
}

// Each source breaks a rule.
func TestOffencesAreSeen(t *testing.T) {
	other := "package x\nimport \"" + vmctlPath + "\"\n"
	for name, src := range map[string]string{
		"vmctl/a.go":         "package vmctl\nfunc F() Permit { return Permit{vm: \"x\", generation: 1} }",
		"vmctl/b.go":         "package vmctl\nfunc f(p *Permit) { p.vm = \"x\" }",
		"vmctl/c.go":         "package vmctl\ntype q struct{vm string; generation uint64}\nvar p = Permit(q{\"x\", 1})",
		"vmctl/d.go":         "package vmctl\nfunc f(g *Gate) { g.driver.Start(nil, g.p) }",
		"vmctl/e.go":         "package vmctl\nimport \"unsafe\"\nvar _ unsafe.Pointer",
		"vmctl/f.go":         "package vmctl\nimport \"os/exec\"\nvar _ = exec.Command",
		"vmctl/permit.go":    "package vmctl\nvar p = Permit{vm: \"x\"}",
		"vmctl/gate.go":      "package vmctl\nfunc (g *Gate) Leave() (Permit, error) { return Permit{}, nil }",
		"vmctl/hoster/a.go":  "package hoster\nimport \"os/exec\"\nvar _ = exec.Command",
		"failover/a.go":      other + "var p vmctl.Permit",
		"failover/b.go":      other + "func f(d vmctl.Driver) { d.Start(nil, vmctl.Permit{}) }",
		"failover/c.go":      other + "type p = vmctl.Permit",
		"failover/d.go":      other + "type d struct{kept any}\nfunc (d *d) Start(c any, p vmctl.Permit) error { d.kept = p; return p.Check() }",
		"failover/e.go":      other + "type d struct{in vmctl.Driver}\nfunc (d *d) Start(c any, p vmctl.Permit) error { if err := p.Check(); err != nil { return err }; return d.in.Start(c, p) }",
		"failover/f.go":      other + "type d struct{}\nfunc (d *d) Start(c any, p vmctl.Permit) error { return nil }",
		"failover/g.go":      other + "func Start(c any, p vmctl.Permit) error { return p.Check() }",
		"failover/h.go":      "package x\nimport . \"" + vmctlPath + "\"\nvar p Permit",
		"failover/i.go":      other + "import \"unsafe\"\nvar _ unsafe.Pointer\nvar _ vmctl.Driver",
		"failover/j.go":      "package x\nimport _ \"unsafe\"\n//go:linkname check " + vmctlPath + ".(*Gate).check\nfunc check()",
		"failover/k.go":      other + "type d struct{}\nfunc (d *d) Start(c any, p vmctl.Permit) error { check := p.Check; return check() }",
		"failover/broken.go": "package",
	} {
		if len(offences(map[string]string{name: src})) == 0 {
			t.Errorf("%s is not seen:\n%s", name, src)
		}
	}
	good := map[string]string{"demo/ok.go": other + "type d struct{}\nfunc (d *d) Start(c any, p vmctl.Permit) error { if err := p.Check(); err != nil { return err }; _ = p.VM(); return nil }"}
	if o := offences(good); len(o) > 0 {
		t.Errorf("a driver as it should be: %v", o)
	}
}

func TestZeroPermitIsRefused(t *testing.T) {
	d, err := command.NewDriver(command.DriverConfig{
		Kind: command.Kind, List: []string{"/bin/false"}, Start: []string{"/bin/true"}, Stop: []string{"/bin/false"},
	}, command.Host{Node: "a"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := command.NewProvider(command.SnapshotsConfig{
		Kind: command.Kind, List: []string{"/bin/false"}, Prepare: []string{"/bin/true"},
	}, command.Host{Node: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(t.Context(), vmctl.Permit{}); !errors.Is(err, vmctl.ErrNoPermit) {
		t.Errorf("driver: %v", err)
	}
	if err := p.Prepare(t.Context(), vmctl.Permit{}, "g1"); !errors.Is(err, vmctl.ErrNoPermit) {
		t.Errorf("provider: %v", err)
	}
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above")
		}
		dir = filepath.Dir(dir)
	}
}

// sources are the module's Go files that are no tests, by slash path.
func sources(root string) (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && p != root && (strings.HasPrefix(name, ".") || name == "testdata") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(p)
		files[filepath.ToSlash(rel)] = string(b)
		return err
	})
	return files, err
}

// offences are the places that break a rule.
func offences(files map[string]string) []string {
	var found []string
	for name, src := range files {
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			found = append(found, err.Error())
			continue
		}
		s := &scan{name: name, inside: path.Dir(name) == "vmctl", allowed: map[ast.Node]bool{}}
		s.say = func(n ast.Node, what string, args ...any) {
			found = append(found, fmt.Sprintf("%s: %s", fset.Position(n.Pos()), fmt.Sprintf(what, args...)))
		}
		s.file(f)
	}
	return found
}

// scan looks at one file.
type scan struct {
	name    string
	inside  bool   // it is part of package vmctl
	vmctl   string // what it calls that package; "" when it does not import it
	allowed map[ast.Node]bool
	say     func(n ast.Node, what string, args ...any)
}

func (s *scan) file(f *ast.File) {
	s.imports(f)
	if s.name == "vmctl/gate.go" || s.name == "vmctl/permit.go" {
		s.core(f)
		return
	}
	if !s.inside && s.vmctl == "" {
		return
	}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil && (fn.Name.Name == "Start" || fn.Name.Name == "Prepare") {
			s.method(fn)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if s.inside {
			s.within(n)
		}
		if s.isPermit(n) && !s.allowed[n] {
			s.say(n, "a Permit that is no parameter of a driver's Start or a provider's Prepare")
		}
		return true
	})
}

func (s *scan) imports(f *ast.File) {
	unsafeUse := false
	for _, imp := range f.Imports {
		p, _ := strconv.Unquote(imp.Path.Value)
		switch {
		case p == vmctlPath:
			s.vmctl = "vmctl"
			if imp.Name != nil {
				s.vmctl = imp.Name.Name
			}
			if s.vmctl == "." {
				s.say(imp, "vmctl is imported without its name")
			}
		case p == "unsafe":
			unsafeUse = true
		case p == "os/exec" && strings.HasPrefix(s.name, "vmctl/") && path.Dir(s.name) != "vmctl/run":
			s.say(imp, "commands are run by vmctl/run alone")
		}
	}
	if unsafeUse && (s.inside || s.vmctl != "") {
		s.say(f.Name, "unsafe in a file that knows vmctl")
	}
	for _, group := range f.Comments {
		for _, c := range group.List {
			if strings.HasPrefix(c.Text, "//go:linkname") && strings.Contains(c.Text, vmctlPath) {
				s.say(c, "go:linkname into vmctl")
			}
		}
	}
}

// core are the rules for the two files that may name a Permit freely: only the
// gate fills one in, none sets its fields, and no function that others can call
// gives one away.
func (s *scan) core(f *ast.File) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			if len(n.Elts) > 0 && s.name != "vmctl/gate.go" && n.Type != nil && s.isPermit(n.Type) {
				s.say(n, "a Permit is made outside the gate")
			}
		case *ast.FuncDecl:
			if n.Name.IsExported() && n.Type.Results != nil {
				for _, r := range n.Type.Results.List {
					if s.isPermit(r.Type) {
						s.say(n, "%s gives a Permit away", n.Name.Name)
					}
				}
			}
		case *ast.AssignStmt:
			s.within(n)
		}
		return true
	})
}

// within are the rules for package vmctl itself, gate.go and permit.go apart.
func (s *scan) within(n ast.Node) {
	switch n := n.(type) {
	case *ast.AssignStmt:
		for _, left := range n.Lhs {
			if sel, ok := left.(*ast.SelectorExpr); ok && (sel.Sel.Name == "vm" || sel.Sel.Name == "generation") {
				s.say(left, "a permit's field is set")
			}
		}
	case *ast.CallExpr:
		if sel, ok := n.Fun.(*ast.SelectorExpr); ok && (sel.Sel.Name == "Start" || sel.Sel.Name == "Prepare") {
			s.say(n, "%s is called outside the gate", sel.Sel.Name)
		}
	case *ast.InterfaceType:
		for _, m := range n.Methods.List {
			if ft, ok := m.Type.(*ast.FuncType); ok {
				s.params(ft)
			}
		}
	}
}

// params allows Permit as the type of parameters and gives their names.
func (s *scan) params(ft *ast.FuncType) map[string]bool {
	names := map[string]bool{}
	for _, field := range ft.Params.List {
		if !s.isPermit(field.Type) {
			continue
		}
		s.allowed[field.Type] = true
		for _, name := range field.Names {
			names[name.Name] = true
			s.allowed[name] = true
		}
	}
	return names
}

// method sees to it that a driver's Start or a provider's Prepare checks its
// permit and does nothing else with it.
func (s *scan) method(fn *ast.FuncDecl) {
	permits := s.params(fn.Type)
	if len(permits) == 0 || fn.Body == nil {
		return
	}
	checked := false
	fine := map[*ast.Ident]bool{}
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
				if id, ok := sel.X.(*ast.Ident); ok && permits[id.Name] {
					switch sel.Sel.Name {
					case "Check":
						checked, fine[id] = true, true
					case "VM", "Generation":
						fine[id] = true
					}
				}
				fine[sel.Sel] = true // a method or field of something else
			}
		}
		if sel, ok := n.(*ast.SelectorExpr); ok {
			fine[sel.Sel] = true
		}
		if id, ok := n.(*ast.Ident); ok && permits[id.Name] && !fine[id] {
			s.say(id, "the permit is used for more than Check, VM and Generation")
		}
		return true
	})
	if !checked {
		s.say(fn, "%s does not check its permit", fn.Name.Name)
	}
}

func (s *scan) isPermit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.SelectorExpr:
		id, ok := n.X.(*ast.Ident)
		return ok && s.vmctl != "" && id.Name == s.vmctl && n.Sel.Name == "Permit"
	case *ast.Ident:
		return s.inside && n.Name == "Permit"
	}
	return false
}
