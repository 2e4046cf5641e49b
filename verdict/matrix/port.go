package matrix

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Port is a port by number or by name. The zero Port is that of a target that
// declares none.
type Port struct {
	Name     string // of a port that the target declares; empty: Number counts
	Number   int32  // 1 to 65535
	Protocol corev1.Protocol
}

// Shown is the name if the port was asked for by name, else the number; empty
// for the zero Port.
func (p Port) Shown() string {
	if p.Name == "" && p.Number == 0 {
		return ""
	}
	return cmp.Or(p.Name, strconv.Itoa(int(p.Number)))
}

// String is 80/TCP or serve/UDP; "no port" for the zero Port.
func (p Port) String() string {
	if p.Shown() == "" {
		return "no port"
	}
	return p.Shown() + "/" + string(p.Protocol)
}

// ParsePort reads 80/TCP, serve/UDP, or either without a protocol, which is TCP.
func ParsePort(text string) (Port, error) {
	what, protocol, given := strings.Cut(text, "/")
	p := Port{Protocol: corev1.Protocol(strings.ToUpper(protocol))}
	if !given {
		p.Protocol = corev1.ProtocolTCP
	}
	if !slices.Contains([]corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}, p.Protocol) {
		return Port{}, fmt.Errorf("port %q: %q is no protocol that policies know: write TCP, UDP or SCTP, as in 53/UDP", text, protocol)
	}
	number, err := strconv.Atoi(what)
	switch {
	case err == nil && (number < 1 || number > 65535):
		return Port{}, fmt.Errorf("port %q: %d is no port: give one from 1 to 65535", text, number)
	case err == nil:
		p.Number = int32(number)
	case len(validation.IsValidPortName(what)) > 0:
		return Port{}, fmt.Errorf("port %q: %q is neither a number nor a container port's name: write 80/TCP or serve/UDP", text, what)
	default:
		p.Name = what
	}
	return p, nil
}

// ParsePorts reads a list such as 80/TCP,serve/UDP. A port that is there twice
// counts once.
func ParsePorts(list []string) ([]Port, error) {
	var all []Port
	for _, text := range list {
		p, err := ParsePort(strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		if !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all, nil
}

// asked is a port to ask a target for, with the numbers behind it; none, and
// why, where the target has no such port.
type asked struct {
	shown   Port
	numbers []int32
	why     string
}

// portsOf lists what to ask a target for. It is never empty.
func (q Query) portsOf(to End) []asked {
	if len(q.Ports) == 0 {
		return declared(to)
	}
	all := make([]asked, len(q.Ports))
	for i, p := range q.Ports {
		all[i] = asked{shown: p}
		if p.Name == "" {
			all[i].numbers = []int32{p.Number}
		} else if all[i].numbers = numbersOf(to, p); len(all[i].numbers) == 0 {
			all[i].why = fmt.Sprintf("%s declares no port %s", to, p)
		}
	}
	return all
}

// declared are the ports of a pod by number, each number and protocol once.
func declared(to End) []asked {
	if to.Pod == nil {
		return []asked{{why: "an address declares no ports: ask for some"}}
	}
	var all []asked
	for _, p := range to.Pod.Ports {
		port := Port{Number: p.Number, Protocol: cmp.Or(p.Protocol, corev1.ProtocolTCP)}
		if !slices.ContainsFunc(all, func(a asked) bool { return a.shown == port }) {
			all = append(all, asked{shown: port, numbers: []int32{p.Number}})
		}
	}
	slices.SortFunc(all, func(a, b asked) int {
		return cmp.Or(cmp.Compare(a.shown.Number, b.shown.Number), cmp.Compare(a.shown.Protocol, b.shown.Protocol))
	})
	if len(all) == 0 {
		return []asked{{why: fmt.Sprintf("%s declares no ports: ask for some", to)}}
	}
	return all
}

func numbersOf(to End, name Port) []int32 {
	if to.Pod == nil {
		return nil
	}
	var all []int32
	for _, p := range to.Pod.Ports {
		if p.Name == name.Name && cmp.Or(p.Protocol, corev1.ProtocolTCP) == name.Protocol && !slices.Contains(all, p.Number) {
			all = append(all, p.Number)
		}
	}
	return all
}
