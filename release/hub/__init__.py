"""The Hub: uploads in few commits, retries, and what its errors mean."""
