package controlplane

import (
	"fmt"
	"net/url"
	"os"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// readyDescriptor is a pipe on which Etcd writes one byte when it serves.
const readyDescriptor = 3

// Etcd is `labd etcd`. Its data is on a tmpfs and dies with the lab, so it never
// waits for a disk. It returns the process's exit code.
func Etcd() int {
	if err := runEtcd(os.NewFile(readyDescriptor, "ready")); err != nil {
		fmt.Fprintln(os.Stderr, "etcd:", err)
		return 1
	}
	return 0
}

func runEtcd(ready *os.File) error {
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir = "lab", etcdDir
	client := url.URL{Scheme: "unix", Path: etcdSocket}
	peer := url.URL{Scheme: "unix", Path: "/run/lab/etcd-peer.sock"}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.UnsafeNoFsync = true
	cfg.TickMs, cfg.ElectionMs = 10, 100 // it is alone: nobody's heartbeat can be late
	cfg.LogLevel = "warn"
	cfg.QuotaBackendBytes = 1 << 30
	cfg.AutoCompactionMode, cfg.AutoCompactionRetention = "periodic", "10m"
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		return err
	}
	select {
	case <-server.Server.ReadyNotify():
	case err := <-server.Err():
		return err
	case <-time.After(30 * time.Second):
		return fmt.Errorf("not ready after 30 s")
	}
	if _, err := ready.Write([]byte{1}); err != nil {
		return err
	}
	return <-server.Err()
}
