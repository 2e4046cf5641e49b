package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// dig asks for one record and prints the answers. It fails when no server answers;
// a name that does not exist is an answer.
func dig(args []string) error {
	name, kind := "", dns.TypeA
	for _, a := range args {
		if t, ok := dns.StringToType[a]; ok {
			kind = t
		} else if a[0] != '+' {
			name = a
		}
	}
	config, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil {
		return err
	}
	client := &dns.Client{}
	if slices.Contains(args, "+tcp") {
		client.Net = "tcp"
	}
	names := []string{dns.Fqdn(name)}
	if slices.Contains(args, "+search") {
		names = config.NameList(name)
	}
	for _, name := range names {
		query := new(dns.Msg).SetQuestion(name, kind)
		answer, _, err := client.Exchange(query, net.JoinHostPort(config.Servers[0], config.Port))
		if err != nil {
			return err
		}
		for _, record := range answer.Answer {
			fmt.Println(printed(record, slices.Contains(args, "+short")))
		}
		if len(answer.Answer) > 0 {
			return nil
		}
	}
	return nil
}

func printed(record dns.RR, short bool) string {
	if !short {
		return record.String()
	}
	return strings.TrimPrefix(record.String(), record.Header().String())
}

func nslookup(args []string) error {
	return lookUp(args)
}

// getent knows hosts: the machine's file first, then DNS.
func getent(args []string) error {
	if len(args) != 2 || args[0] != "hosts" {
		return errors.New("want hosts NAME")
	}
	return lookUp(args[1:])
}

func lookUp(args []string) error {
	if len(args) != 1 {
		return errors.New("want NAME")
	}
	addresses, err := net.LookupHost(args[0])
	for _, a := range addresses {
		fmt.Println(a, args[0])
	}
	return err
}
