package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// replacement is a file's next content, complete on disk beside the file and
// not yet in its place.
type replacement struct {
	name   string // as the user named it
	target string // what that leads to
	temp   string // beside the target
	was    []byte
}

// overwriteAll replaces files, each in one step: whoever reads one sees the old
// content or the new. Before the first is replaced all new contents are on disk,
// so that a full disk or a folder that may not be written changes nothing.
func overwriteAll(names []string, was, content map[string][]byte) error {
	var all []replacement
	defer func() {
		for _, r := range all {
			_ = os.Remove(r.temp) // gone, once it is renamed
		}
	}()
	for _, name := range names {
		r, err := prepare(name, was[name], content[name])
		if err != nil {
			return fmt.Errorf("%s: %w; nothing was written", name, err)
		}
		all = append(all, r)
	}
	for i, r := range all {
		if err := r.commit(); err != nil {
			return fmt.Errorf("%s: %w; of %d files the first %d were written", r.name, err, len(all), i)
		}
	}
	return nil
}

// prepare writes the content beside the file, with the file's owner and mode.
func prepare(name string, was, content []byte) (r replacement, err error) {
	r = replacement{name: name, was: was}
	if r.target, err = filepath.EvalSymlinks(name); err != nil {
		return r, err
	}
	info, err := os.Stat(r.target)
	switch {
	case err != nil:
		return r, err
	case !info.Mode().IsRegular():
		return r, errors.New("is not a regular file: --write writes into files")
	case info.Mode().Perm()&0o222 == 0, !mayWrite(r.target):
		return r, errors.New("is read-only: allow writing (chmod u+w), or print the corrections with --fix alone")
	}
	f, err := os.CreateTemp(filepath.Dir(r.target), ".lint-*")
	if err != nil {
		return r, fmt.Errorf("its folder cannot be written: %w", err)
	}
	r.temp = f.Name()
	if err = errors.Join(fill(f, info, content), f.Close()); err != nil {
		_ = os.Remove(r.temp)
	}
	return r, err
}

func fill(f *os.File, like os.FileInfo, content []byte) error {
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := keepOwner(f, like); err != nil {
		return err
	}
	if err := f.Chmod(like.Mode()); err != nil { // after the owner, which takes bits away
		return err
	}
	return f.Sync()
}

// commit puts the content in the file's place, if that still holds what was read.
func (r replacement) commit() error {
	now, err := os.ReadFile(r.target)
	switch {
	case err != nil:
		return err
	case !bytes.Equal(now, r.was):
		return manifest.ErrMoved
	}
	return os.Rename(r.temp, r.target)
}
