// Package manifest reads what verdicts are about: a directory, a file or a
// stream of Kubernetes manifests, or objects that somebody listed from a
// cluster. It reads as strictly as the API server would, and every problem and
// every note names file and line.
//
//	files, stdin ──► documents ──► objects ──► Set{World, Pods, Workloads, Services}
//	                    lists from a cluster ──┘
//
// The use, in a command that takes paths ("-" is stdin):
//
//	set, err := manifest.Read(paths, os.Stdin, manifest.Options{})
//	var bad *manifest.Error // bad input: exit code 4
//	snapshot := verdict.Compile(set.World, set.Pods)
//	where := set.Where("NetworkPolicy", "ai", "gateway", "spec.egress[0].to[1].podSelector")
//
// What offline input cannot say is left unknown, and said in Notes: the labels of
// a namespace that no document declares, as far as some selector asks for them;
// the addresses of a workload's pods; what policies of kinds do that are not
// understood (World.Foreign); which pods controllers make of custom resources
// (Objects.Customs), unless their labels are documented. Nothing unknown is taken for allowed.
//
// Pods of a workload are judged alike, so a workload stands for at most two of
// them, which is enough to ask what passes between two replicas. A StatefulSet
// has all its pods where some selector tells them apart.
//
// Splice is the way back: it changes the text of documents in their file, and
// proves with the same reader that the others stayed what they are.
package manifest
