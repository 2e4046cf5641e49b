// Command probe is the program of containers under test: it prints what it sees.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		return
	}
	switch arg := os.Args[2:]; os.Args[1] {
	case "look":
		look(arg)
	case "exit":
		code, _ := strconv.Atoi(arg[0])
		fmt.Fprintln(os.Stderr, "leaving with", code)
		os.Exit(code)
	case "term": // ends when asked
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		fmt.Println("waiting")
		<-c
		fmt.Println("asked to end")
	case "deaf": // does not
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("waiting")
		time.Sleep(time.Hour)
	}
}

func look(paths []string) {
	host, _ := os.Hostname()
	dir, _ := os.Getwd()
	fmt.Println("pid", os.Getpid(), "host", host, "dir", dir, "color", os.Getenv("COLOR"), "home", os.Getenv("HOME"))
	for _, p := range paths {
		if b, err := os.ReadFile(p); err == nil {
			fmt.Printf("%s = %q\n", p, b)
			fmt.Println(p, "written:", os.WriteFile(p, b, 0o644))
			continue
		}
		entries, err := os.ReadDir(p)
		fmt.Print(p, " :")
		for _, e := range entries {
			fmt.Print(" ", e.Name())
		}
		fmt.Println("", err)
	}
}
