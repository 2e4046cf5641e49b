package main

import (
	"os"

	"golang.org/x/sys/windows"
)

// mayWrite leaves the answer to the writing itself: access lists have no mode.
func mayWrite(string) bool { return true }

// keepOwner has nothing to do: a new file gets the access list of its folder.
func keepOwner(*os.File, os.FileInfo) error { return nil }

// understandsColours asks a console to understand them, which older ones do not.
func understandsColours(f *os.File) bool {
	var mode uint32
	console := windows.Handle(f.Fd())
	return windows.GetConsoleMode(console, &mode) == nil &&
		windows.SetConsoleMode(console, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
}
