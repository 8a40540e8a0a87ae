package host

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf16"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// platform is the name of the operating system with that of its release, and the version that it tells management servers.
func platform(context.Context) (name, version string) {
	v := windows.RtlGetVersion()
	version = fmt.Sprintf("%d.%d.%s", v.MajorVersion, v.MinorVersion, build(v.BuildNumber))
	k, err := currentVersion()
	if err != nil {
		return "", version
	}
	defer k.Close()
	name, _, err = k.GetStringValue("ProductName")
	if err != nil {
		return "", version
	}
	const first11 = 22000 // the registry of Windows 11 calls it 10
	if v.BuildNumber >= first11 {
		name = strings.Replace(name, "Windows 10", "Windows 11", 1)
	}
	if !strings.HasPrefix(name, "Microsoft") {
		name = "Microsoft " + name
	}
	release, _, _ := k.GetStringValue("DisplayVersion")
	return strings.TrimSpace(name + " " + release), version
}

// kernel is the build with its revision.
func kernel(context.Context) string { return build(windows.RtlGetVersion().BuildNumber) }

func build(number uint32) string {
	k, err := currentVersion()
	if err != nil {
		return fmt.Sprint(number)
	}
	defer k.Close()
	revision, _, err := k.GetIntegerValue("UBR")
	if err != nil {
		return fmt.Sprint(number)
	}
	return fmt.Sprintf("%d.%d", number, revision)
}

func currentVersion() (registry.Key, error) {
	return registry.OpenKey(registry.LOCAL_MACHINE, `SOFTWARE\Microsoft\Windows NT\CurrentVersion`, registry.QUERY_VALUE|registry.WOW64_64KEY)
}

var globalMemoryStatusEx = windows.NewLazySystemDLL("kernel32.dll").NewProc("GlobalMemoryStatusEx")

// memory is how much there is, in bytes; 0: it cannot be told.
func memory(context.Context) uint64 {
	var status struct { // MEMORYSTATUSEX
		length, load uint32
		total        uint64
		_            [6]uint64
	}
	status.length = uint32(unsafe.Sizeof(status))
	if ok, _, _ := globalMemoryStatusEx.Call(uintptr(unsafe.Pointer(&status))); ok == 0 {
		return 0
	}
	return status.total
}

// disks are the drives with a letter, those of the network too, and the volumes that are folders of others. A drive without a medium is none.
func disks(ctx context.Context) (list []Disk) {
	seen := map[string]bool{}
	add := func(root string) {
		if seen[root] {
			return
		}
		seen[root] = true
		path, err := windows.UTF16PtrFromString(root)
		if err != nil {
			return
		}
		switch windows.GetDriveType(path) {
		case windows.DRIVE_FIXED, windows.DRIVE_REMOVABLE, windows.DRIVE_REMOTE, windows.DRIVE_CDROM:
		default:
			return
		}
		var kind [windows.MAX_PATH + 1]uint16
		if windows.GetVolumeInformation(path, nil, 0, nil, nil, nil, &kind[0], uint32(len(kind))) != nil {
			return
		}
		d := Disk{Mount: root, Type: windows.UTF16ToString(kind[:])}
		if len(root) == len(`C:\`) {
			d.Mount = root[:2]
		}
		d.Size, d.Free, _ = space(ctx, root)
		list = append(list, d)
	}
	letters, _ := windows.GetLogicalDrives()
	for i := range 'Z' - 'A' + 1 {
		if letters>>i&1 != 0 {
			add(string('A'+i) + `:\`)
		}
	}
	var volume [windows.MAX_PATH + 1]uint16
	volumes, err := windows.FindFirstVolume(&volume[0], uint32(len(volume)))
	if err != nil {
		return list
	}
	defer windows.FindVolumeClose(volumes)
	for ; err == nil; err = windows.FindNextVolume(volumes, &volume[0], uint32(len(volume))) {
		for _, root := range mounts(&volume[0]) {
			add(root)
		}
	}
	return list
}

// mounts are where a volume is found; none: nowhere.
func mounts(volume *uint16) []string {
	names := make([]uint16, 4*windows.MAX_PATH)
	var n uint32
	err := windows.GetVolumePathNamesForVolumeName(volume, &names[0], uint32(len(names)), &n)
	if err == windows.ERROR_MORE_DATA {
		names = make([]uint16, n)
		err = windows.GetVolumePathNamesForVolumeName(volume, &names[0], n, &n)
	}
	if err != nil {
		return nil
	}
	return strings.FieldsFunc(string(utf16.Decode(names[:n])), func(r rune) bool { return r == 0 })
}

// space is the size of the file system of a folder, and what is free there, in bytes.
func space(_ context.Context, dir string) (size, free uint64, err error) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, 0, err
	}
	err = windows.GetDiskFreeSpaceEx(path, nil, &size, &free)
	return size, free, err
}
