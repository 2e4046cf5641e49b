// Package archive packs. It is the tar, and the test, of containers that have none:
// as much of each as `kubectl cp` runs in a container to copy files to and from it.
//
//	tar cf - PATH… ─► archive on standard output
//	tar xmf - -C DIR ◄─ archive on standard input: nothing leaves DIR
package archive

import (
	"fmt"
	"os"
)

// Command is a program of this package by its name, which takes the arguments
// that follow the name, and returns its exit code; nil for any other name.
func Command(name string) func(args []string) int {
	switch name {
	case "tar":
		return tarMain
	case "test":
		return testMain
	}
	return nil
}

// testMain is test(1) for one file: -d, -e or -f, and a path.
func testMain(args []string) int {
	if len(args) != 2 {
		fmt.Fprintf(os.Stderr, "test: %q: the lab's test takes -d, -e or -f, and a path\n", args)
		return 2
	}
	st, err := os.Stat(args[1])
	switch {
	case args[0] == "-d" && err == nil && st.IsDir(), args[0] == "-e" && err == nil,
		args[0] == "-f" && err == nil && st.Mode().IsRegular():
		return 0
	case args[0] == "-d", args[0] == "-e", args[0] == "-f":
		return 1
	}
	fmt.Fprintf(os.Stderr, "test: %s: the lab's test takes -d, -e or -f, and a path\n", args[0])
	return 2
}
