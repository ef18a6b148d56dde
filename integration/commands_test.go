package integration

import (
	"context"
	"encoding/json"
	"os/exec"
	"strings"
)

// op runs a command of the program on the cluster, and returns its output.
func (c *cluster) op(args ...string) string {
	c.tb.Helper()
	out, err := c.run(args...)
	if err != nil {
		c.tb.Fatalf("hoster-ha %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// try runs a command that may be refused.
func (c *cluster) try(args ...string) bool {
	c.tb.Helper()
	out, err := c.run(args...)
	if err != nil {
		c.tb.Logf("hoster-ha %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return err == nil
}

func (c *cluster) run(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append(args, c.where...)...)
	cmd.Env = environment()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// failovers lists the nodes of which status says that a failover is under way.
func (c *cluster) failovers() []string {
	c.tb.Helper()
	out := c.op("status", "-o", "json")
	var status struct {
		Failovers []struct {
			Node string `json:"node"`
		} `json:"failovers"`
	}
	if err := json.Unmarshal([]byte(out), &status); err != nil {
		c.tb.Fatalf("status: %v\n%s", err, out)
	}
	var nodes []string
	for _, f := range status.Failovers {
		nodes = append(nodes, f.Node)
	}
	return nodes
}
