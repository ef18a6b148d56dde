package cli

import (
	"context"

	"github.com/hoster-ha/hoster-ha/persistence"
)

// unopened stands for a store that could not be opened. A daemon over it cannot start;
// but what an earlier one has left armed is minded as after any start that fails.
type unopened struct{ why error }

func (u unopened) Get(context.Context, string) (persistence.Object, error) {
	return persistence.Object{}, u.why
}

func (u unopened) Put(context.Context, string, []byte) error { return u.why }

func (u unopened) Create(context.Context, string, []byte) error { return u.why }

func (u unopened) Delete(context.Context, string) error { return u.why }

func (u unopened) List(context.Context, string) ([]string, error) { return nil, u.why }
