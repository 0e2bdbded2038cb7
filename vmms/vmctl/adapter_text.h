/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A network adapter of a definition, as people read it.
 */
#pragma once

#include "common/base/json.h"

#define ADAPTER_TEXT_SIZE 1024

/*
 * "VLAN 10, DHCP guard, egress 10M, forwards tcp:2222:22": what is not as it is without options.
 * adapter: NULL: none. What does not fit is cut.
 */
void adapter_text_settings(struct json_object *adapter, char text[ADAPTER_TEXT_SIZE]);

/* Its port forwards alone, with blanks between them. */
void adapter_text_forwards(struct json_object *adapter, char text[ADAPTER_TEXT_SIZE]);
