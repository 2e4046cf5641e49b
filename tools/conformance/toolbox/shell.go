package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// shell runs `sh [-x] -c SCRIPT [NAME ARGS…]`, or what its input says.
func shell(args []string) error {
	var script io.Reader = os.Stdin
	var params []string
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		option := args[0]
		args = args[1:]
		if option != "-c" {
			params = append(params, option)
			continue
		}
		if len(args) == 0 {
			return errors.New("-c needs a script")
		}
		script = strings.NewReader(args[0])
		args = args[min(len(args), 2):] // the name is not shown anywhere
		break
	}
	params = append(append(params, "--"), args...)
	file, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(script, "sh")
	if err != nil {
		return err
	}
	runner, err := interp.New(interp.StdIO(os.Stdin, os.Stdout, os.Stderr), interp.Params(params...))
	if err != nil {
		return err
	}
	err = runner.Run(context.Background(), file)
	if status, ok := errors.AsType[interp.ExitStatus](err); ok {
		os.Exit(int(status))
	}
	return err
}
