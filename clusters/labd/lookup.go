package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"
)

// lookup prints the addresses of names, one per line: a pod's way to show that a
// Service name resolves. It exits 1 when one does not within ten seconds.
func lookup(names []string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, name := range names {
		addrs, err := net.DefaultResolver.LookupHost(ctx, name)
		if err != nil {
			fmt.Fprintln(os.Stderr, "lookup:", err)
			return 1
		}
		for _, addr := range addrs {
			fmt.Println(name, addr)
		}
	}
	return 0
}
