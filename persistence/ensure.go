package persistence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// ensureTries is how often Ensure sends a value whose outcome is open.
const ensureTries = 5

// Ensure makes a key that nobody else would make, or finds that it holds the very
// same value. ErrExists: it holds another. An outcome that is open is settled by
// sending the value again; ErrUnknown: it stayed open. Other errors: it was not made.
func Ensure(ctx context.Context, s Store, key string, value []byte) error {
	open := false
	var err error
	for range ensureTries {
		err = s.Create(ctx, key, value)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, ErrExists):
			o, rerr := s.Get(ctx, key)
			if rerr != nil {
				return fmt.Errorf("%w: %s exists, read back: %w", ErrUnknown, key, rerr)
			}
			if !bytes.Equal(o.Value, value) {
				return err
			}
			return nil
		case errors.Is(err, ErrUnknown):
			open = true
		case !open:
			return err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return fmt.Errorf("%w: %s may or may not have been made: %w", ErrUnknown, key, err)
}
