package lab_test

import (
	"os"
	"strings"
)

// noPodChangesTheMachine has a pod try: by its program and by commands, as root and
// as another user, in an image that shows this machine's /usr.
func noPodChangesTheMachine(l *podLab) {
	const ours = "/usr/tightrope-lab-was-here"
	l.t.Cleanup(func() { os.Remove(ours) }) // where a pod had its way
	l.pod("root", client)
	l.pod("user", strings.Replace(client, "{", "{securityContext: {runAsUser: 999}, ", 1))
	for _, pod := range []string{"root", "user"} {
		l.kubectl("", "cp", "--no-preserve", l.probe, pod+":/tmp/probe") // the lab may have no user with the file's number
		said, _ := l.try("exec", pod, "--", "/tmp/probe", "escape", ours)
		for line := range strings.Lines(said) {
			if strings.HasSuffix(line, ": <nil>\n") {
				l.t.Errorf("a command of pod %s is not refused: %s", pod, line)
			}
		}
		if !strings.Contains(said, "inside: done") {
			l.t.Errorf("not everything was tried in pod %s:\n%s", pod, said)
		}
	}
	if _, err := os.Stat(ours); !os.IsNotExist(err) {
		l.t.Errorf("a pod made a file on this machine: %v", err)
	}
	l.kubectl("apiVersion: v1\nkind: Pod\nmetadata: {name: admin}\nspec:\n  containers: [{name: c, image: test/probe, securityContext: {capabilities: {add: [SYS_ADMIN]}}}]", "apply", "-f", "-")
	l.until("pod/admin", "{.status.containerStatuses[0].state.waiting.reason}", "CreateContainerError")
	if events := l.kubectl("", "get", "events", "--field-selector=involvedObject.name=admin", "-o", "jsonpath={.items[*].message}"); !strings.Contains(events, "SYS_ADMIN") {
		l.t.Errorf("the events of a pod that wants to mount do not say so: %s", events)
	}
}
