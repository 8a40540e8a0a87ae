//go:build !agentonly

package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"rollcall/fleet/target"
)

func usersCommand() *cobra.Command {
	cmd, c := clientCommand(&cobra.Command{Use: "users", Short: "Add, list and invite users"})
	cmd.AddCommand(usersAddCommand(c), usersListCommand(c), usersInviteCommand(c))
	return cmd
}

func usersAddCommand(c *client) *cobra.Command {
	var u target.User
	cmd := &cobra.Command{
		Use: "add UPN...", Short: "Add users, or change those that exist", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			users := make([]target.User, len(args))
			for i, upn := range args {
				users[i] = u
				users[i].UPN = upn
			}
			if err := t.AddUsers(cmd.Context(), users); err != nil {
				return err
			}
			return show(cmd, map[string]any{"users": users}, func(w io.Writer) { fmt.Fprintf(w, "%d users added or changed\n", len(users)) })
		},
	}
	cmd.Flags().StringVar(&u.Name, "name", "", "name that people read")
	cmd.Flags().StringSliceVar(&u.Groups, "group", nil, "groups that the users are in")
	cmd.Flags().BoolVar(&u.IntuneLicence, "intune", false, "they hold a licence that entitles Intune")
	cmd.Flags().BoolVar(&u.BasicLicence, "basic", false, "they hold a licence that Basic Mobility and Security serves")
	return cmd
}

func usersListCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List users", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			list := []target.User{}
			for u, err := range t.Users(cmd.Context()) {
				if err != nil {
					return err
				}
				list = append(list, u)
			}
			return show(cmd, map[string]any{"users": list}, func(w io.Writer) {
				row(w, "UPN", "NAME", "GROUPS", "LICENCES")
				for _, u := range list {
					row(w, u.UPN, u.Name, strings.Join(u.Groups, ", "), licences(u))
				}
			})
		},
	}
}

func licences(u target.User) string {
	var held []string
	if u.IntuneLicence {
		held = append(held, "intune")
	}
	if u.BasicLicence {
		held = append(held, "basic")
	}
	return strings.Join(held, ", ")
}

func usersInviteCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use: "invite UPN...", Short: "Make an enrolment link for one device of each user", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := c.target()
			if err != nil {
				return err
			}
			list, err := t.Invite(cmd.Context(), args)
			if err != nil {
				return err
			}
			return show(cmd, map[string]any{"invitations": list}, func(w io.Writer) {
				for _, i := range list {
					row(w, i.User, i.URL, "until "+when(i.Expires))
				}
			})
		},
	}
}
