package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tightrope-dev/tightrope/scenarios"
)

// checkFlags refuses flags that contradict each other or that would silently do
// nothing.
func (o *runOptions) checkFlags(cmd *cobra.Command) error {
	switch {
	case o.holdTimeout <= 0:
		return fmt.Errorf("--hold-timeout=%v: use a time above 0, such as 2m", o.holdTimeout)
	case o.report == "":
		return errors.New("--report is empty: name a directory for the reports")
	}
	return o.check(cmd)
}

// load reads every scenario and makes every report folder before anything
// starts: a report that cannot be written is better known now than after a rollout.
func (o *runOptions) load(names []string) ([]*scenarios.Scenario, error) {
	var list []*scenarios.Scenario
	from := map[string]string{}
	for _, name := range names {
		s, err := scenarios.Load(name)
		if err != nil {
			return nil, err
		}
		if other, twice := from[s.Metadata.Name]; twice {
			return nil, fmt.Errorf("scenario %s is there twice (%s and %s): its second report would overwrite the first; name it once, or run it on its own", s.Metadata.Name, other, name)
		}
		from[s.Metadata.Name] = name
		list = append(list, s)
	}
	for _, s := range list {
		if err := makeFolder(o.folder(s)); err != nil {
			return nil, fmt.Errorf("report directory %s cannot be used: %w; choose another with --report", o.folder(s), err)
		}
	}
	return list, nil
}

func (o *runOptions) folder(s *scenarios.Scenario) string {
	return filepath.Join(o.report, s.Metadata.Name)
}

// makeFolder makes a folder, or finds one, that files can be made in.
func makeFolder(name string) error {
	if err := os.MkdirAll(name, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(name, ".writable-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
