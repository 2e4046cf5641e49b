package writer

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// As returns a writer whose writes the API server authorises as a service
// account, so that nobody gets through us what that account may not do. The
// caller of cfg needs the right to impersonate it. The API server adds the
// account's groups itself; to name them would take a right of its own.
func As(cfg *rest.Config, account types.NamespacedName, c client.Options, o Options) (*Writer, error) {
	own, err := Impersonate(cfg, account)
	if err != nil {
		return nil, err
	}
	c.HTTPClient = nil // one of somebody else would send its own identity
	api, err := client.New(own, c)
	if err != nil {
		return nil, fmt.Errorf("connect as service account %s: %w", account, err)
	}
	return New(api, o), nil
}

// Impersonate returns a configuration whose requests the API server authorises as a
// service account.
func Impersonate(cfg *rest.Config, account types.NamespacedName) (*rest.Config, error) {
	if account.Namespace == "" || account.Name == "" {
		return nil, fmt.Errorf("service account %q cannot be impersonated: name its namespace and itself", account)
	}
	own := rest.CopyConfig(cfg)
	own.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + account.Namespace + ":" + account.Name}
	return own, nil
}
