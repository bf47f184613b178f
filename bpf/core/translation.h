/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Which sockets were led to backends of services, and where they wanted to go. */
#pragma once

#include "../abi/service.h"

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TRANSLATIONS_MAX);
	__type(key, struct translation_key);
	__type(value, struct translation);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weft_translations SEC(".maps");

static __always_inline const struct translation *translation_find(__u64 socket, const struct address *address,
								  __u16 port)
{
	struct translation_key key = { .socket = socket, .address = *address, .port = port };

	return bpf_map_lookup_elem(&weft_translations, &key);
}
