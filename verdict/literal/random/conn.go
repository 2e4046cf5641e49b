package random

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// Conn makes a connection in the world as it is now. Nearly all of its ends are
// the world's pods; the rest are addresses and pods that it does not hold.
func (d *Dice) Conn() verdict.Conn {
	c := verdict.Conn{From: d.end(), To: d.end(), Port: pick(d, numbers...) + int32(pick(d, 0, 0, 0, 1, -1)), Protocol: d.protocolInUse()}
	if d.one(30) {
		c.Port = int32(pick(d, 0, -1, 70000))
	}
	c.FromNode = d.one(40)
	if t := c.To.Pod; t != nil && len(t.Ports) > 0 && d.one(2) { // what it listens on
		p := pick(d, t.Ports...)
		c.Port, c.Protocol = p.Number, p.Protocol
	}
	return c
}

func (d *Dice) protocolInUse() corev1.Protocol {
	if d.one(40) {
		return pick[corev1.Protocol](d, "ICMP", "tcp")
	}
	return pick(d, "", corev1.ProtocolTCP, corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP)
}

func (d *Dice) end() verdict.End {
	if d.one(6) || len(d.world.pods) == 0 {
		e := verdict.End{IP: d.address()}
		if len(d.world.Nodes) > 0 && d.one(3) {
			e.Node = pick(d, d.world.Nodes...).Name
		}
		return e
	}
	i := d.IntN(len(d.world.pods))
	p := d.world.pods[i]
	e := verdict.End{Pod: &p}
	if d.one(20) { // a pod that is to be
		p.Name, p.Labels, p.Ports = pick(d, "new", ""), d.labels(), some(d, 2, d.port)
	}
	if d.one(5) && len(p.IPs) > 0 {
		e.IP = pick(d, p.IPs...)
	} else if d.one(30) {
		e.IP = d.address()
	}
	return e
}

// Pair makes a connection between two pods of the world, by their keys, as
// Snapshot.Decide is asked about.
func (d *Dice) Pair() (from, to string, port int32, protocol corev1.Protocol) {
	if len(d.world.pods) == 0 {
		return "", "", 80, ""
	}
	c := d.Conn()
	return pick(d, d.world.pods...).Key(), pick(d, d.world.pods...).Key(), c.Port, c.Protocol
}
