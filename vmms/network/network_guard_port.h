/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The rules for one port, as text for nftables: a chain "port_NAME" of a table. */
#pragma once

#include "common/definition/definition.h"

#include <stdio.h>

/* port: a name of letters, digits, '-' and '_'. What the chain had before is replaced. */
void network_guard_write_chain(FILE *stream, const char *table, const char *port,
			       const struct definition_adapter *adapter);
