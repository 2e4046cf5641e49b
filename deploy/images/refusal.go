package images

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// What a registry may do instead of taking an image.
var (
	// ErrUnreachable: nothing that speaks as a registry answered, or it broke off.
	ErrUnreachable = errors.New("the registry cannot be used")
	// ErrRefused: it answered that this may not be.
	ErrRefused = errors.New("the registry refused")
)

// maxAnswer is how much of a registry's own words is repeated, in bytes.
const maxAnswer = 400

// explain says what an error of a registry means and what to do.
func explain(ctx context.Context, to name.Repository, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("push to %s: %w", to, context.Cause(ctx))
	}
	host := to.RegistryStr()
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fmt.Errorf("%w: nobody that this machine trusts signed the certificate of %s: %w; name its CA's file in SSL_CERT_FILE", ErrUnreachable, host, unknown)
	}
	if answer, ok := errors.AsType[*transport.Error](err); ok {
		return explainAnswer(to, answer, err)
	}
	if lookup, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Errorf("%w: no address is known for %s: %w; is the name right?", ErrUnreachable, host, lookup)
	}
	if strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return fmt.Errorf("%w: %s speaks plain HTTP; add --insecure if that is meant", ErrUnreachable, host)
	}
	if dial, ok := errors.AsType[*net.OpError](err); ok {
		return fmt.Errorf("%w: %s does not answer: %w; is it up, and is HTTPS_PROXY right?", ErrUnreachable, host, dial)
	}
	return fmt.Errorf("%w: push to %s: %s", ErrUnreachable, to, short(err))
}

func explainAnswer(to name.Repository, answer *transport.Error, err error) error {
	host := to.RegistryStr()
	login := fmt.Sprintf("`docker login %s` (or podman, or crane auth login) stores credentials where they are looked for", host)
	switch {
	case answer.StatusCode == http.StatusUnauthorized:
		return fmt.Errorf("%w: %s wants credentials for %s, and has none or others from this user's Docker configuration (%s); %s",
			ErrRefused, host, to.RepositoryStr(), short(err), login)
	case answer.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%w: these credentials may not push to %s (%s); ask for the right to, or name another prefix", ErrRefused, to, short(err))
	case answer.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%w: %s has no repository %s and makes none (%s); create it there, or its project, or name another prefix",
			ErrRefused, host, to.RepositoryStr(), short(err))
	case answer.StatusCode >= 500:
		return fmt.Errorf("%w: %s failed (%s); try again, and look at its log", ErrUnreachable, host, short(err))
	}
	return fmt.Errorf("%w: %s (%s)", ErrRefused, to, short(err))
}

func short(err error) string {
	text := err.Error()
	if len(text) > maxAnswer {
		text = strings.ToValidUTF8(text[:maxAnswer], "") + "…"
	}
	return text
}
