// Package apply makes files of the profiles that a machine has, and puts back what was there before.
//
// Start with [Open], which takes a folder of its own inside the agent's state. [Store.Place] keeps a profile there, one folder each, the
// document and each payload as a file that people can read, and makes the files of the system: all of them, or it says why not, so that the
// server can be told. [Store.Match] then has the machine follow the list of what is installed: what is missing is applied, what has left
// is undone. [Read] tells what there is, whoever has the folder.
//
// # What reaches the system
//
// Only families that the machine's owner named ([Config.Families]), only at these places below [Config.Root], and only where the
// folder is there already:
//
//	certificate    self-signed CA certificates: usr/local/share/ca-certificates, etc/pki/ca-trust/source/anchors
//	wifi           open and WPA-PSK networks: etc/NetworkManager/system-connections
//	vpn            IKEv2 with a shared secret: etc/swanctl/conf.d; WireGuard as its own app describes it: etc/wireguard
//	email          IMAP and POP with an address: the folder isp of Thunderbird, by the address's domain
//	configuration  the password policy: etc/security/pwquality.conf.d
//
// Everything else stays in the state folder, and says why. File names are made of hashes, or of a domain that was checked; what a
// payload says is held against what its place may hold, and refused where it might say more: a line break in a keyfile, a command in a
// WireGuard tunnel. Programs that read these files are told by their own command, on the machine itself alone, never in a folder that
// stands for one.
//
// # Undoing
//
// Before a path is touched for the first time, its content, mode, owner and age, or its absence, are in the state folder, and a ledger, of
// which there is a copy, says so. A file waits beside its place where the file system can, and is the very file again afterwards, with its
// other names, access lists and labels. While its profile is installed a file is made again as the profile says, and when the profile leaves,
// what was there before comes back. What somebody, or a program, made of the file meanwhile is set aside first, in the folder edited of the
// store: [Store.Edited] and [Read] say where. That has bounds, beyond which the oldest version goes. Where somebody put a link, a folder or more than
// 4 MiB in the place of a file, that stays, nothing is forgotten of what was there before, and the error says what is in the way until it is moved. A
// crash between any two steps is followed by the same steps again (HST-121): a profile is there or not, never half. Symbolic links are
// followed inside the root alone; in the place of a file they are left alone, as is whatever else is no file.
//
// [Config.OnProfile] is for other systems. It hears of each profile once, and again after a crash in the middle of telling.
//
// The enrolment profile is no part of this: what it brings is the agent's own.
package apply
