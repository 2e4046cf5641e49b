package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// stated is what manifests do not show of a cluster and the user states.
type stated struct {
	podCIDRs, serviceCIDRs, namespaceLabels []string
}

func (s *stated) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&s.podCIDRs, "pod-cidr", nil, "with -f: network that pods have their addresses in, such as 10.244.0.0/16; repeatable; without it: any address")
	f.StringArrayVar(&s.serviceCIDRs, "service-cidr", nil, "with -f: network that Services have their addresses in, such as 10.96.0.0/12; repeatable")
	f.StringArrayVar(&s.namespaceLabels, "namespace-label", nil, "with -f: label of a namespace beside those in the files, as NAMESPACE=KEY=VALUE; repeatable")
}

// forFiles refuses what would do nothing: a cluster tells these itself.
func (s *stated) forFiles(files []string) error {
	if len(files) == 0 && len(s.podCIDRs)+len(s.serviceCIDRs)+len(s.namespaceLabels) > 0 {
		return errors.New("--pod-cidr, --service-cidr and --namespace-label state what manifests do not show: add -f, or leave them out")
	}
	return nil
}

// options are the statements as the reader takes them.
func (s *stated) options() (o manifest.Options, err error) {
	if o.PodCIDRs, err = networks("pod-cidr", s.podCIDRs); err != nil {
		return o, err
	}
	if o.ServiceCIDRs, err = networks("service-cidr", s.serviceCIDRs); err != nil {
		return o, err
	}
	o.NamespaceLabels = map[string]map[string]string{}
	for _, text := range s.namespaceLabels {
		namespace, label, _ := strings.Cut(text, "=")
		key, value, ok := strings.Cut(label, "=")
		if !ok || len(validation.IsDNS1123Label(namespace))+len(validation.IsQualifiedName(key))+len(validation.IsValidLabelValue(value)) > 0 {
			return o, fmt.Errorf("--namespace-label=%q: write NAMESPACE=KEY=VALUE, such as ai=team=ml", text)
		}
		if o.NamespaceLabels[namespace] == nil {
			o.NamespaceLabels[namespace] = map[string]string{}
		}
		o.NamespaceLabels[namespace][key] = value
	}
	return o, nil
}

func networks(flag string, texts []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil || p.Addr().Is4In6() {
			return nil, fmt.Errorf("--%s=%q is not a network such as 10.244.0.0/16 or fd00:10::/56", flag, text)
		}
		all = append(all, p.Masked())
	}
	return all, nil
}
