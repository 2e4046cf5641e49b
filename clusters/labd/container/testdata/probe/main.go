// Command probe is the program of containers under test: it prints what it sees.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
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
		fmt.Println("not listening")
		time.Sleep(time.Hour)
	case "cat":
		n, err := io.Copy(os.Stdout, os.Stdin)
		fmt.Fprintln(os.Stderr, n, "bytes", err)
	case "echo":
		fmt.Println(strings.Join(arg, " "))
	case "screen": // reads lines from its terminal, until "bye"
		screen()
	case "write":
		fmt.Println("written:", os.WriteFile(arg[0], []byte(arg[1]), 0o600))
	case "serve":
		serve(arg[0])
	case "escape": // tries to change the machine
		escape(arg[0])
	case "remount":
		remount(arg[0])
	case "leave": // ends, with somebody left who holds its output
		c := exec.Command("/proc/self/exe", "deaf")
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		fmt.Println("left:", c.Start())
	}
}

func screen() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() && lines.Text() != "bye" {
		size := struct{ rows, columns, x, y uint16 }{}
		_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, 0, syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&size)))
		fmt.Println("got", lines.Text(), "at", size.columns, "x", size.rows, errno)
	}
}

func serve(address string) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("serving")
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(c, c)
		c.Close()
	}
}

func look(paths []string) {
	host, _ := os.Hostname()
	dir, _ := os.Getwd()
	fmt.Println("pid", os.Getpid(), "host", host, "dir", dir, "color", os.Getenv("COLOR"), "home", os.Getenv("HOME"))
	fmt.Println("uid", os.Getuid(), "gid", os.Getgid())
	for _, p := range paths {
		if link, err := os.Readlink(p); err == nil && strings.HasPrefix(p, "/proc/") {
			fmt.Println(p, "->", link)
			continue
		}
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
