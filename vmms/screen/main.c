/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmms-screen USER NAME: shows the screen of the VM of that name. USER: to become; 0: none. The
 * daemon starts it, with its socket as descriptor 3 and one to the worker as 4.
 */
#include "common/base/parse.h"
#include "vmms/screen/screen.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define CONTROL_FD 3
#define LINK_FD    4

static struct screen screen = { .control = CONTROL_FD, .link = LINK_FD };

int main(int argc, char **argv)
{
	uint64_t user;
	int r;

	if (argc != 3 || parse_unsigned(argv[1], 0, UINT32_MAX - 1, &user) < 0) {
		fprintf(stderr, "usage: vmms-screen USER NAME, by vmms\n");
		return EXIT_FAILURE;
	}
	screen.name = argv[2];
	signal(SIGPIPE, SIG_IGN);
	if (screen_sandbox_enter((uint32_t)user) < 0)
		return EXIT_FAILURE;
	r = screen_run(&screen);
	if (r == SCREEN_E_ENDED)
		return EXIT_SUCCESS;
	fprintf(stderr, r == SCREEN_E_STRANGE ? "the worker says what makes no sense\n"
					      : "an error of the host\n");
	return EXIT_FAILURE;
}
