package cli

import (
	"errors"
	"os"

	"github.com/rs/zerolog"

	"github.com/hoster-ha/hoster-ha/watchdog"
)

// tellFence says why this host was ended before this boot, once.
func tellFence(path, boot string, log zerolog.Logger) {
	f, err := watchdog.ReadFence(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return
	case err != nil:
		log.Warn().Err(err).Msg("why the host was ended last cannot be read")
		return
	case f.Boot == boot:
		return // nothing has come of it yet, or nothing was to be done
	}
	what := "this host was ended by its watchdog, or went down just before that: "
	if f.Action == watchdog.ActionLog {
		what = "but for --fence-action log this host's watchdog would have ended it before this boot: "
	}
	log.Warn().Time("then", f.Time).Str("by", f.By).Msg(what + f.Text)
	if err := os.Rename(path, path+".told"); err != nil {
		log.Warn().Err(err).Msg("it will be told again")
	}
}
