package cri

import (
	"io"
	"os"
	"os/exec"
	"sync"
)

// channels are the near ends of a container's standard streams.
type channels struct {
	input    *os.File  // what is written to it the container reads; nil: its input is empty
	screen   *terminal // nil: it has none, and two outputs
	audience audience
}

// connect gives cmd its standard streams, and starts to pump what it writes to the
// log. The caller closes theirs once cmd has started or failed.
func (p *process) connect(cmd *exec.Cmd, all terminals) (theirs []*os.File, pumps *sync.WaitGroup, err error) {
	pumps = &sync.WaitGroup{}
	if p.config.GetTty() {
		if p.screen, err = all.open(); err != nil {
			return nil, nil, err
		}
		t := p.screen
		cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr.Setctty = t.theirs, t.theirs, t.theirs, true
		if p.config.GetStdin() {
			p.input = t.ours
		}
		p.pump(pumps, "stdout", t.ours)
		return []*os.File{t.theirs}, pumps, nil
	}
	pipes, err := openPipes(3)
	if err != nil {
		return nil, nil, err
	}
	in, out, errOut := pipes[0], pipes[1], pipes[2]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in.r, out.w, errOut.w
	if p.config.GetStdin() {
		p.input = in.w
	} else {
		in.w.Close()
	}
	p.pump(pumps, "stdout", out.r)
	p.pump(pumps, "stderr", errOut.r)
	return []*os.File{in.r, out.w, errOut.w}, pumps, nil
}

func (p *process) pump(pumps *sync.WaitGroup, stream string, from io.ReadCloser) {
	shown := struct {
		io.Reader
		io.Closer
	}{io.TeeReader(from, stage{&p.audience, stream}), from}
	pumps.Go(func() { p.log.pump(stream, shown) })
}

// hangUp closes what a container that has ended was typed into.
func (p *process) hangUp() {
	if p.input != nil {
		p.input.Close()
	}
}
