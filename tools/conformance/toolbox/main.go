// Command toolbox stands in for the files of test images: a shell and the few
// programs that upstream's tests run beside agnhost. It is static, and is whatever
// it is called as.
//
//	sh · nc · curl · wget · dig · nslookup · getent · seq · sleep · cat · touch · env · echo
//
// Called as toolbox, it copies itself into a folder, under all these names.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// tools return an error to say why they exit with a status other than zero.
var tools = map[string]func(args []string) error{
	"sh": shell, "nc": netcat, "curl": fetch, "wget": fetch, "dig": dig, "nslookup": nslookup, "getent": getent,
	"seq": seq, "sleep": sleep, "cat": cat, "touch": touch, "env": env, "echo": echo,
}

func main() {
	name := filepath.Base(os.Args[0])
	tool := tools[name]
	if tool == nil {
		tool = install
	}
	if err := tool(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// install makes a folder of an image: one file, and a link to it for every tool.
func install(args []string) error {
	if len(args) != 1 {
		return errors.New("want the FOLDER to install into")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	program, err := os.ReadFile(self)
	if err == nil {
		err = os.MkdirAll(args[0], 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(args[0], "toolbox"), program, 0o755)
	}
	for name := range tools {
		if err == nil {
			err = os.Symlink("toolbox", filepath.Join(args[0], name))
		}
	}
	return err
}
