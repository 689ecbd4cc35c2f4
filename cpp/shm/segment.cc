#include "shm/segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "shm/layout.h"
#include "shm/ring.h"

#ifndef MFD_NOEXEC_SEAL  // newer than some C libraries
#define MFD_NOEXEC_SEAL 0x0008U
#endif

namespace tsf::shm {
namespace {

Result<Segment> failed(const char* what) { return {std::nullopt, std::string(what) + ": " + std::strerror(errno)}; }

UniqueFd memory_file(const char* name) {
  // Hardened kernels refuse memory that could be executed; older ones do not know the flag.
  UniqueFd fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL));
  if (!fd && errno == EINVAL) fd.reset(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  return fd;
}

bool write_header(int fd, std::uint32_t capacity) {
  // The rest of the page is zero because the file is new.
  const std::array<std::uint32_t, 3> words{kMagic, kVersion, capacity};
  return ::pwrite(fd, words.data(), sizeof words, 0) == static_cast<ssize_t>(sizeof words);
}

}  // namespace

Segment::~Segment() {
  if (base_ != nullptr) ::munmap(base_, size_);
}

Result<Segment> Segment::map(int fd, std::size_t size, bool writable) {
  void* base = ::mmap(nullptr, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) return failed("mmap");
  return {Segment(static_cast<std::byte*>(base), size, writable), {}};
}

Result<Segment> Segment::create(std::uint32_t capacity, bool outbound) {
  if (!valid_capacity(capacity)) {
    return {std::nullopt,
            "ring capacity " + std::to_string(capacity) + " is not a power of two from 64 KiB to 256 MiB"};
  }
  UniqueFd fd = memory_file(outbound ? "ts_filter_outbound" : "ts_filter_inbound");
  if (!fd) return failed("memfd_create");
  if (::ftruncate(fd.get(), static_cast<off_t>(file_size(capacity))) != 0) return failed("ftruncate");
  if (!write_header(fd.get(), capacity)) return failed("writing the header");
  Result<Segment> segment = map(fd.get(), file_size(capacity), outbound);
  if (!segment) return segment;
  const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | (outbound ? F_SEAL_FUTURE_WRITE : 0);
  if (::fcntl(fd.get(), F_ADD_SEALS, seals) != 0) return failed("sealing");
  segment->fd_ = std::move(fd);
  return segment;
}

Result<Segment> Segment::open(int fd, bool outbound) {
  const int needed = F_SEAL_SHRINK | F_SEAL_GROW | (outbound ? F_SEAL_FUTURE_WRITE : 0);
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0) return failed("not a sealed memory file");
  if ((seals & needed) != needed) return {std::nullopt, "the memory file lacks seals"};
  // After the seals: from here on the size cannot change.
  struct stat status {};
  if (::fstat(fd, &status) != 0) return failed("fstat");
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size <= kDataOffset || !valid_capacity(size - kDataOffset)) {
    return {std::nullopt, "the memory file has an impossible size of " + std::to_string(size) + " bytes"};
  }
  Result<Segment> segment = map(fd, size, !outbound);
  if (segment && !Endpoint::valid_file(segment->bytes())) {
    return {std::nullopt, "the memory file's header is of another layout"};
  }
  return segment;
}

Result<Segment> Segment::create_outbound(std::uint32_t capacity) { return create(capacity, true); }
Result<Segment> Segment::create_inbound(std::uint32_t capacity) { return create(capacity, false); }
Result<Segment> Segment::open_outbound(int fd) { return open(fd, true); }
Result<Segment> Segment::open_inbound(int fd) { return open(fd, false); }

}  // namespace tsf::shm
