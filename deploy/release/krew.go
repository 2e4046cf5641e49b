package release

import (
	"net/url"
	"path"

	"sigs.k8s.io/yaml"
)

// plugin is a manifest of krew, kubectl's manager of plugins: its fields are those of
// https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest.
type plugin struct {
	APIVersion string     `json:"apiVersion"`
	Kind       string     `json:"kind"`
	Metadata   pluginName `json:"metadata"`
	Spec       pluginSpec `json:"spec"`
}

type pluginName struct {
	Name string `json:"name"`
}

type pluginSpec struct {
	Version          string           `json:"version"`
	Homepage         string           `json:"homepage"`
	ShortDescription string           `json:"shortDescription"`
	Description      string           `json:"description"`
	Platforms        []pluginPlatform `json:"platforms"`
}

// pluginPlatform is an archive for one platform. All its files are installed.
type pluginPlatform struct {
	Selector pluginSelector `json:"selector"`
	URI      string         `json:"uri"`
	SHA256   string         `json:"sha256"`
	Bin      string         `json:"bin"`
}

type pluginSelector struct {
	MatchLabels map[string]string `json:"matchLabels"` // os and arch
}

const description = `Tightrope stages NetworkPolicies through observe, canary and enforce, while probe
pods test the paths that must work and those that must not. A path that breaks
takes the policies back at once.

The plugin is the command line alone. The embedded cluster of "tightrope lab"
is in the release's archives for Linux.
`

// krew is the manifest of a release. It names the archives with the command line alone.
func krew(version, from string, archives map[bundle]string) ([]byte, error) {
	p := plugin{APIVersion: "krew.googlecontainertools.github.com/v1alpha2", Kind: "Plugin", Metadata: pluginName{cli},
		Spec: pluginSpec{Version: version, Homepage: homepage, ShortDescription: "Tighten NetworkPolicies, prove nothing broke", Description: description}}
	for _, b := range sorted(archives) {
		if b.lab {
			continue
		}
		uri, err := url.JoinPath(from, b.file(version))
		if err != nil {
			return nil, err
		}
		p.Spec.Platforms = append(p.Spec.Platforms, pluginPlatform{
			Selector: pluginSelector{map[string]string{"os": b.os, "arch": b.arch}},
			URI:      uri, SHA256: archives[b], Bin: path.Base(b.executable(cli)),
		})
	}
	return yaml.Marshal(p)
}
