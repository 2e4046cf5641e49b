// Command program is what the tests pack: it is static, and made of several modules.
package main

import (
	"fmt"

	"github.com/spf13/pflag"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/text/width"
)

func main() {
	fmt.Println(pflag.CommandLine.Name(), dnsmessage.TypeA, width.Narrow)
}
