// SPDX-License-Identifier: MIT
/*
 * Calls that packetdrill makes of the C library where its table of functions has none: it asks
 * getsockopt() itself for the TCP_INFO of `%{ }%`, and sendfile() is not in the table. Both take a
 * descriptor of ours, which the kernel knows as /dev/null. So the program's own references to the
 * two names are pointed here; for any other descriptor the library's functions answer.
 */
#include "tests/script/so/so.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#if defined(__x86_64__)
enum { SLOT_CALL = R_X86_64_JUMP_SLOT, SLOT_DATA = R_X86_64_GLOB_DAT };
#elif defined(__aarch64__)
enum { SLOT_CALL = R_AARCH64_JUMP_SLOT, SLOT_DATA = R_AARCH64_GLOB_DAT };
#else
enum { SLOT_CALL = -1, SLOT_DATA = -1 };
#endif

/* A program has one object: packetdrill loads one, and the library's signatures have no pointer. */
static struct so *the_object;

static bool is_ours(int fd)
{
	bool ours;

	if (!the_object)
		return false;
	so_lock(the_object);
	ours = so_sock_of(the_object, fd) != NULL;
	so_unlock(the_object);
	return ours;
}

static int program_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	if (is_ours(fd))
		return so_getsockopt(the_object, fd, level, name, value, len);
	return getsockopt(fd, level, name, value, len);
}

/* The file's bytes are read and written: what cannot be written was not read. */
static ssize_t program_sendfile(int out, int in, off_t *offset, size_t n)
{
	off_t at = offset ? *offset : lseek(in, 0, SEEK_CUR);
	uint8_t *buf;
	ssize_t got;

	if (!is_ours(out))
		return sendfile(out, in, offset, n);
	buf = malloc(n ? n : 1);
	if (!buf || at < 0) {
		free(buf);
		errno = at < 0 ? EINVAL : ENOMEM;
		return -1;
	}
	got = pread(in, buf, n, at);
	if (got > 0)
		got = so_write(the_object, out, buf, (size_t)got);
	free(buf);
	if (got > 0 && offset)
		*offset = at + got;
	else if (got > 0)
		lseek(in, at + got, SEEK_SET);
	return got;
}

/* Where one name of the program is bound. */
static void point(ElfW(Addr) slot, void *to)
{
	long page = sysconf(_SC_PAGESIZE);
	char *start = (char *)(slot & ~((ElfW(Addr))page - 1));

	/* the table may be read-only once the program is linked */
	if (mprotect(start, (size_t)page, PROT_READ | PROT_WRITE) == 0)
		memcpy((void *)slot, &to, sizeof(to));
}

struct tables {
	const ElfW(Sym) * symbols;
	const char *strings;
	const ElfW(Rela) * relocations[2]; /* of calls, of data */
	size_t bytes[2];
};

static void read_dynamic(const ElfW(Dyn) * d, struct tables *t)
{
	for (; d->d_tag != DT_NULL; d++) {
		switch (d->d_tag) {
		case DT_SYMTAB:
			t->symbols = (const void *)d->d_un.d_ptr;
			break;
		case DT_STRTAB:
			t->strings = (const void *)d->d_un.d_ptr;
			break;
		case DT_JMPREL:
			t->relocations[0] = (const void *)d->d_un.d_ptr;
			break;
		case DT_PLTRELSZ:
			t->bytes[0] = d->d_un.d_val;
			break;
		case DT_RELA:
			t->relocations[1] = (const void *)d->d_un.d_ptr;
			break;
		case DT_RELASZ:
			t->bytes[1] = d->d_un.d_val;
			break;
		}
	}
}

static void point_all(const struct tables *t, ElfW(Addr) base)
{
	for (int part = 0; part < 2; part++) {
		const ElfW(Rela) *r = t->relocations[part];

		for (size_t i = 0; r && i < t->bytes[part] / sizeof(*r); i++) {
			int type = (int)ELF64_R_TYPE(r[i].r_info);
			const char *name =
				t->strings + t->symbols[ELF64_R_SYM(r[i].r_info)].st_name;

			if (type != SLOT_CALL && type != SLOT_DATA)
				continue;
			if (strcmp(name, "getsockopt") == 0)
				point(base + r[i].r_offset, program_getsockopt);
			if (strcmp(name, "sendfile") == 0 || strcmp(name, "sendfile64") == 0)
				point(base + r[i].r_offset, program_sendfile);
		}
	}
}

/* The first that is named is the program. */
static int visit(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct tables t = { 0 };

	(void)size;
	(void)arg;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
			read_dynamic((const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr),
				     &t);
	if (t.symbols && t.strings)
		point_all(&t, info->dlpi_addr);
	return 1;
}

void so_program_init(struct so *s)
{
	static bool done;

	the_object = s;
	if (!done)
		dl_iterate_phdr(visit, NULL);
	done = true;
}

void so_program_fini(const struct so *s)
{
	if (the_object == s)
		the_object = NULL;
}
