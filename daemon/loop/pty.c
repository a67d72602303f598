/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/pty.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define PTY_FLAGS (O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)

static int pty_make_raw(int slave)
{
	struct termios termios;
	if (tcgetattr(slave, &termios) < 0)
		return -1;
	cfmakeraw(&termios);
	termios.c_iflag &= ~(tcflag_t)(IXOFF | IXANY);
	termios.c_cflag |= CREAD | CLOCAL;
	termios.c_cc[VMIN] = 1;
	termios.c_cc[VTIME] = 0;
	return tcsetattr(slave, TCSANOW, &termios);
}

/* Through the master: no path, so no other mount of devpts can be meant. */
static int pty_open_slave(int master)
{
	return ioctl(master, TIOCGPTPEER, PTY_FLAGS);
}

static int pty_prepare(int master, int *slave, uid_t uid, char *path, size_t path_size)
{
	int sys = ptsname_r(master, path, path_size);
	if (sys != 0) {
		errno = sys;
		return -1;
	}
	if (unlockpt(master) < 0 || (*slave = pty_open_slave(master)) < 0)
		return -1;
	if (pty_make_raw(*slave) < 0 || fchmod(*slave, 0600) < 0)
		return -1;
	return fchown(*slave, uid, (gid_t)-1);
}

int pty_make(uid_t uid, int *master, int *slave, char *path, size_t path_size, struct err *err)
{
	int master_fd = posix_openpt(PTY_FLAGS), slave_fd = -1;
	if (master_fd >= 0 && pty_prepare(master_fd, &slave_fd, uid, path, path_size) == 0) {
		*master = master_fd;
		*slave = slave_fd;
		return 0;
	}
	int sys = errno;
	if (slave_fd >= 0)
		close(slave_fd);
	if (master_fd >= 0)
		close(master_fd);
	return err_sys(err, sys, "make a PTY");
}

int pty_open_raw(const char *path, int *slave, struct err *err)
{
	int fd = open(path, PTY_FLAGS);
	if (fd < 0)
		return err_sys(err, errno, "open terminal \"%s\"", path);
	if (pty_make_raw(fd) < 0) {
		int sys = errno;
		close(fd);
		return err_sys(err, sys, "make terminal \"%s\" raw", path);
	}
	*slave = fd;
	return 0;
}

/* The master's output is the slave's input: first what is on its way, then what has arrived. */
static void pty_drop_output(int master, int slave)
{
	(void)tcflush(master, TCOFLUSH);
	(void)tcflush(slave, TCIFLUSH);
}

int pty_reset(int master, int slave, struct err *err)
{
	if (pty_make_raw(slave) < 0)
		return err_sys(err, errno, "make a PTY raw again");
	(void)ioctl(slave, TIOCNXCL);
	(void)tcflow(slave, TCOON);
	pty_drop_output(master, slave);
	return 0;
}

bool pty_is_hung_up(int master)
{
	struct pollfd pollfd = { .fd = master };
	return poll(&pollfd, 1, 0) == 1 && (pollfd.revents & POLLHUP) != 0;
}

int pty_revive(int master, int slave, struct err *err)
{
	int fresh = pty_open_slave(master), sys = errno;
	if (fresh < 0)
		return err_sys(err, sys, "open a PTY's slave again");
	int fd = dup3(fresh, slave, O_CLOEXEC);
	sys = errno;
	close(fresh);
	return fd < 0 ? err_sys(err, sys, "replace a PTY's slave") : pty_reset(master, slave, err);
}
