"""Physical constants of a scene, fitted so that the simulator makes a motion that was seen: what they are called
(`constants`), the fit (`gauss_newton`), and what stays known of them from one fit to the next (`posterior`)."""
