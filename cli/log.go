package cli

import (
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"

	"github.com/hoster-ha/hoster-ha/config"
)

// logger writes JSON lines, or lines for people on a terminal.
func logger(w io.Writer, s *config.Settings) (zerolog.Logger, error) {
	level, err := zerolog.ParseLevel(s.LogLevel)
	if err != nil {
		return zerolog.Logger{}, err
	}
	file, isFile := w.(*os.File)
	if s.LogFormat == "console" || (s.LogFormat == "auto" && isFile && isatty.IsTerminal(file.Fd())) {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.DateTime}
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger(), nil
}
