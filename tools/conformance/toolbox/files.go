package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

func seq(args []string) error {
	if len(args) != 2 {
		return errors.New("want FIRST LAST")
	}
	first, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	last, err := strconv.Atoi(args[1])
	for ; err == nil && first <= last; first++ {
		fmt.Println(first)
	}
	return err
}

func sleep(args []string) error {
	if len(args) != 1 {
		return errors.New("want SECONDS")
	}
	seconds, err := strconv.ParseFloat(args[0], 64)
	if err == nil {
		time.Sleep(time.Duration(seconds * float64(time.Second)))
	}
	return err
}

func cat(args []string) error {
	if len(args) == 0 {
		_, err := io.Copy(os.Stdout, os.Stdin)
		return err
	}
	for _, name := range args {
		b, err := os.ReadFile(name)
		if err == nil {
			_, err = os.Stdout.Write(b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func touch(args []string) error {
	for _, name := range args {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		f.Close()
	}
	return nil
}

func env([]string) error {
	for _, v := range os.Environ() {
		fmt.Println(v)
	}
	return nil
}

func echo(args []string) error {
	_, err := fmt.Println(strings.Join(args, " "))
	return err
}
