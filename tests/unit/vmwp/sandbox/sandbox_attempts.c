/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a worker that a guest has taken over would try. */
#include "tests/unit/vmwp/sandbox/sandbox_attempts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096u

/* ---- What is there ---- */

static struct sockaddr_un abstract_address(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "vmms-test-%d", getpgrp());
	return address;
}

static struct sockaddr_in internet_address(unsigned short port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static pid_t start_process(void)
{
	pid_t process = fork();

	if (process != 0)
		return process;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	for (;;)
		pause();
}

void surroundings_init(struct surroundings *surroundings)
{
	struct sockaddr_in internet = internet_address(0);
	struct sockaddr_un abstract = abstract_address();
	socklen_t size = sizeof(internet);
	int disk, peers[2];

	strcpy(surroundings->disk, "/tmp/vmms-sandbox-XXXXXX");
	disk = mkostemp(surroundings->disk, O_CLOEXEC);
	if (disk < 0 || fchmod(disk, 0666) < 0 || write(disk, "secret", 6) != 6)
		abort();
	close(disk);
	surroundings->process = start_process();
	surroundings->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	surroundings->abstract = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(surroundings->listener, (struct sockaddr *)&internet, size) < 0 ||
	    listen(surroundings->listener, 64) < 0 ||
	    getsockname(surroundings->listener, (struct sockaddr *)&internet, &size) < 0 ||
	    bind(surroundings->abstract, (struct sockaddr *)&abstract, sizeof(abstract)) < 0 ||
	    listen(surroundings->abstract, 64) < 0)
		abort();
	surroundings->port = ntohs(internet.sin_port);
	surroundings->shared_memory = shmget(IPC_PRIVATE, PAGE, 0666);
	surroundings->program = open("/bin/true", O_RDONLY | O_CLOEXEC);
	surroundings->file = memfd_create("file", MFD_CLOEXEC);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, peers) < 0)
		abort();
	surroundings->peer = peers[0];
	surroundings->other_end = peers[1];
}

void surroundings_deinit(struct surroundings *surroundings)
{
	unlink(surroundings->disk);
	kill(surroundings->process, SIGKILL);
	waitpid(surroundings->process, NULL, 0);
	close(surroundings->listener);
	close(surroundings->abstract);
	shmctl(surroundings->shared_memory, IPC_RMID, NULL);
	close(surroundings->program);
	close(surroundings->file);
	close(surroundings->peer);
	close(surroundings->other_end);
}

/* ---- By system call ---- */

#define ATTEMPT(name) \
	static int attempt_##name(const struct surroundings *surroundings, struct io_uring *ring)

static int outcome(long result)
{
	return result < 0 ? errno : 0;
}

ATTEMPT(open)
{
	return outcome(open("/etc/passwd", O_RDONLY));
}

ATTEMPT(open_by_its_old_name)
{
	return outcome(syscall(SYS_open, "/etc/passwd", O_RDONLY));
}

ATTEMPT(make_file)
{
	return outcome(open("/tmp", O_TMPFILE | O_RDWR, 0600));
}

ATTEMPT(other_disk)
{
	return outcome(open(surroundings->disk, O_RDWR));
}

ATTEMPT(other_disk_upwards)
{
	char path[128];

	snprintf(path, sizeof(path), "../../../../../../../../%s", surroundings->disk);
	return outcome(open(path, O_RDWR));
}

ATTEMPT(look_at_path)
{
	return outcome(access(surroundings->disk, F_OK));
}

/* As fstat(2) is made, but with a path. */
ATTEMPT(look_at_path_as_at_a_descriptor)
{
	struct stat status;

	return outcome(
		syscall(SYS_newfstatat, AT_FDCWD, surroundings->disk, &status, AT_EMPTY_PATH));
}

ATTEMPT(look_at_more_of_a_path)
{
	struct statx status;

	return outcome(syscall(SYS_statx, AT_FDCWD, surroundings->disk, AT_EMPTY_PATH, STATX_SIZE,
			       &status));
}

ATTEMPT(list_processes)
{
	return opendir("/proc") ? 0 : errno;
}

ATTEMPT(trace)
{
	return outcome(ptrace(PTRACE_SEIZE, surroundings->process, NULL, NULL));
}

ATTEMPT(read_memory)
{
	char ours[16];
	/* A fork of ours: what is here is there. */
	struct iovec local = { ours, sizeof(ours) },
		     remote = { (void *)surroundings, sizeof(ours) };

	return outcome(process_vm_readv(surroundings->process, &local, 1, &remote, 1, 0));
}

ATTEMPT(signal)
{
	return outcome(kill(surroundings->process, SIGWINCH));
}

ATTEMPT(signal_thread)
{
	return outcome(syscall(SYS_tgkill, surroundings->process, surroundings->process, SIGWINCH));
}

ATTEMPT(ask_affinity)
{
	cpu_set_t cpus;

	return outcome(sched_getaffinity(surroundings->process, sizeof(cpus), &cpus));
}

ATTEMPT(set_affinity)
{
	cpu_set_t cpus;

	memset(&cpus, 0xff, sizeof(cpus));
	return outcome(sched_setaffinity(surroundings->process, sizeof(cpus), &cpus));
}

/* Kernels before 6.5 do not have it; that it comes so far is what is asked. */
ATTEMPT(peer_of_a_socket)
{
	enum { PEER_PIDFD = 77 };
	socklen_t size = sizeof(int);
	int pidfd;
	int r = getsockopt(surroundings->peer, SOL_SOCKET, PEER_PIDFD, &pidfd, &size);

	return r < 0 && errno == ENOPROTOOPT ? 0 : outcome(r);
}

ATTEMPT(make_room_in_file)
{
	return outcome(fallocate(surroundings->file, 0, 0, PAGE));
}

ATTEMPT(make_room_behind_file)
{
	return outcome(fallocate(surroundings->file, FALLOC_FL_KEEP_SIZE, 0, PAGE));
}

ATTEMPT(fork)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return outcome(pid);
}

ATTEMPT(clone3)
{
	struct clone_args {
		uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
	} arguments = { .exit_signal = SIGCHLD };
	long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));

	if (pid == 0)
		_exit(0);
	return outcome(pid);
}

ATTEMPT(execute)
{
	return outcome(execl("/bin/true", "true", NULL));
}

/* It is dynamically linked: there is no linker where there are no files. */
ATTEMPT(execute_descriptor)
{
	char *const arguments[] = { "true", NULL }, *const environment[] = { NULL };

	return outcome(syscall(SYS_execveat, surroundings->program, "", arguments, environment,
			       AT_EMPTY_PATH));
}

ATTEMPT(make_socket)
{
	return outcome(socket(AF_INET, SOCK_DGRAM, 0));
}

ATTEMPT(connect)
{
	struct sockaddr_in address = internet_address(surroundings->port);

	return outcome(connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&address,
			       sizeof(address)));
}

ATTEMPT(connect_unix)
{
	struct sockaddr_un address = abstract_address();

	return outcome(connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address,
			       sizeof(address)));
}

ATTEMPT(shared_memory)
{
	return shmat(surroundings->shared_memory, NULL, SHM_RDONLY) == (void *)-1 ? errno : 0;
}

ATTEMPT(namespace)
{
	return outcome(unshare(CLONE_NEWUSER));
}

ATTEMPT(privilege)
{
	return prctl(PR_CAPBSET_READ, 0) == 1 ? 0 : EPERM;
}

ATTEMPT(map_code)
{
	return mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
			       MAP_FAILED
		       ? errno
		       : 0;
}

ATTEMPT(make_code)
{
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return outcome(mprotect(page, PAGE, PROT_READ | PROT_EXEC));
}

/* The descriptor is none for it; that it comes so far is what is asked. */
ATTEMPT(ioctl)
{
	int r = ioctl(surroundings->file, TIOCSTI, "x");

	return r < 0 && errno == ENOTTY ? 0 : errno;
}

ATTEMPT(make_ring)
{
	struct io_uring_params parameters = { 0 };

	return outcome(syscall(SYS_io_uring_setup, 8, &parameters));
}

ATTEMPT(register_in_ring)
{
	int fd = surroundings->file;

	return outcome(
		syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_FILES, &fd, 1));
}

/* ---- By the ring ---- */

static int ring_outcome(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;

	if (io_uring_submit(ring) != 1 || io_uring_wait_cqe(ring, &cqe) != 0)
		return EIO;
	return cqe->res < 0 ? -cqe->res : 0;
}

ATTEMPT(ring_open)
{
	io_uring_prep_openat(io_uring_get_sqe(ring), AT_FDCWD, "/etc/passwd", O_RDONLY, 0);
	return ring_outcome(ring);
}

ATTEMPT(ring_other_disk)
{
	io_uring_prep_openat(io_uring_get_sqe(ring), AT_FDCWD, surroundings->disk, O_RDWR, 0);
	return ring_outcome(ring);
}

ATTEMPT(ring_make_socket)
{
	io_uring_prep_socket(io_uring_get_sqe(ring), AF_INET, SOCK_DGRAM, 0, 0);
	return ring_outcome(ring);
}

ATTEMPT(ring_look_at_path)
{
	struct statx status;

	io_uring_prep_statx(io_uring_get_sqe(ring), AT_FDCWD, surroundings->disk, 0, STATX_SIZE,
			    &status);
	return ring_outcome(ring);
}

#define ROW(attempt, behind_isolation, behind_limits)                                     \
	{                                                                                 \
		.name = #attempt, .try = attempt_##attempt, .isolated = behind_isolation, \
		.limited = behind_limits                                                  \
	}

/* By an ordinary user the same can be done to what is the same user's. */
#define ROW_BY_USER(attempt, behind_isolation, behind_limits)                             \
	{                                                                                 \
		.name = #attempt, .try = attempt_##attempt, .isolated = behind_isolation, \
		.limited = behind_limits, .by_user = true                                 \
	}

const struct attempt attempts[] = {
	ROW(open, ENOENT, EACCES),
	ROW(open_by_its_old_name, ENOENT, KILLED),
	ROW(make_file, ENOENT, EACCES),
	ROW(other_disk, ENOENT, EACCES),
	ROW(other_disk_upwards, ENOENT, EACCES),
	ROW(look_at_path, ENOENT, KILLED),
	ROW(look_at_path_as_at_a_descriptor, ENOENT, 0),
	ROW(look_at_more_of_a_path, ENOENT, 0),
	ROW(list_processes, ENOENT, EACCES),
	ROW(trace, EPERM, KILLED),
	ROW(read_memory, EPERM, KILLED),
	ROW_BY_USER(signal, EPERM, KILLED),
	ROW_BY_USER(signal_thread, EPERM, KILLED),
	ROW(ask_affinity, 0, KILLED),
	ROW_BY_USER(set_affinity, EPERM, KILLED),
	ROW(peer_of_a_socket, 0, KILLED),
	ROW(make_room_in_file, 0, KILLED),
	ROW(make_room_behind_file, 0, KILLED),
	ROW(fork, 0, KILLED),
	ROW(clone3, 0, ENOSYS),
	ROW(execute, ENOENT, KILLED),
	ROW(execute_descriptor, ENOENT, KILLED),
	ROW(make_socket, 0, KILLED),
	ROW(connect, ENETUNREACH, KILLED),
	ROW(connect_unix, ECONNREFUSED, KILLED),
	ROW(shared_memory, EINVAL, KILLED),
	ROW(namespace, EPERM, KILLED),
	ROW(privilege, EPERM, KILLED),
	ROW(map_code, 0, KILLED),
	ROW(make_code, 0, KILLED),
	ROW(ioctl, 0, KILLED),
	ROW(make_ring, 0, KILLED),
	ROW(register_in_ring, 0, KILLED),
	/* Calls may be limited as one likes: the ring has to be, too. */
	ROW(ring_open, ENOENT, 0),
	ROW(ring_other_disk, ENOENT, 0),
	ROW(ring_look_at_path, ENOENT, 0),
	ROW(ring_make_socket, 0, 0),
};
const size_t attempts_count = ARRAY_SIZE(attempts);

/* ---- What has to go on ---- */

static void *thread(void *data)
{
	pthread_setname_np(pthread_self(), "worker");
	return eventfd_write(*(int *)data, 1) == 0 ? data : NULL;
}

int attempt_to_work(const struct surroundings *surroundings, struct io_uring *ring)
{
	int event = eventfd(0, EFD_CLOEXEC);
	socklen_t size = sizeof(int);
	pthread_t id;
	eventfd_t value;
	cpu_set_t cpus;
	void *result;
	int type;

	if (pthread_create(&id, NULL, thread, &event) || pthread_join(id, &result) || !result)
		return EIO;
	if (eventfd_read(event, &value) < 0 || ftruncate(surroundings->file, PAGE) < 0)
		return errno;
	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0 ||
	    sched_setaffinity(0, sizeof(cpus), &cpus) < 0 ||
	    getsockopt(surroundings->peer, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
	    fallocate(surroundings->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE) < 0)
		return errno;
	io_uring_prep_write(io_uring_get_sqe(ring), surroundings->file, "data", 4, 0);
	return ring_outcome(ring);
}
