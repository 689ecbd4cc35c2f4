#include "stock/filters_behind.h"

namespace tsf::stock {

bool FiltersBehind::let_by(bool has_edge) {
  if (!watch_.are_gone()) return true;
  return has_edge ? path_clear_ : !watch_.are_held();
}

bool FiltersBehind::keep_at_once(const SharedBuffer& buffer, size_t kept) {
  return kept == 0 || (kept_at_once_ && watch_.are_through() && kept == buffer.behind());
}

bool FiltersBehind::is_routers_copy(size_t kept, std::optional<uint64_t> passed) const {
  if (kept == 0 || dir_ != Dir::kRequest || !watch_.are_gone() || buffering_.is_gathered_behind()) return false;
  if (!envoy_.has_upstream()) return false;
  return passed ? *passed == kept : buffering_.router_may_keep();
}

size_t FiltersBehind::still_kept(const SharedBuffer& buffer, uint64_t passed) const {
  const uint64_t gone = passed - passed_edge_;
  return gone < buffer.behind() ? buffer.behind() - static_cast<size_t>(gone) : 0;
}

void FiltersBehind::look(SharedBuffer& buffer, std::optional<uint64_t> passed) {
  const size_t before = buffer.behind();
  buffer.after_push();
  if (buffer.behind() != before) kept_at_once_ = false;
  passed_edge_ = passed.value_or(0);
}

void FiltersBehind::note_push(SharedBuffer& buffer, std::optional<uint64_t> passed, size_t kept, size_t length,
                              bool at_once) {
  look(buffer, passed);
  if (length > 0) ++pushes_;
  if (length > 0 && buffer.behind() == 0 && watch_.are_through()) buffering_.nothing_was_kept();
  kept_at_once_ = at_once && buffer.behind() == kept + length;
}

}  // namespace tsf::stock
